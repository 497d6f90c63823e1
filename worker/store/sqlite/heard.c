/* When agents were heard of, and which are silent. */
#include "worker/store/sqlite/sqlite.h"

/* Whether there is something to note. ERR_NOT_FOUND: no. */
static enum err look(struct sqlite *q, struct agent_heard *a, int64_t before_ms, int64_t *ret_id)
{
    struct query r = query_new(q, SQL_AGENT_HEARD);

    query_text(&r, a->name);
    query_int(&r, before_ms);
    enum err e = query_step(&r);
    if (!e) {
        *ret_id = query_col_int(&r, 0);
        a->was_silent = query_col_int(&r, 1);
        query_col_copy(&r, 2, a->job_id, sizeof a->job_id);
    }
    query_end(&r);
    return e;
}

static enum err note(struct sqlite *q, struct agent_heard *a, int64_t before_ms)
{
    int64_t id = 0;
    enum err e = look(q, a, before_ms, &id);

    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    struct query r = query_new(q, SQL_AGENT_HEARD_PUT);
    query_int(&r, id);
    query_int(&r, sqlite_now_ms(q));
    return query_run(&r);
}

enum err sqlite_agents_heard(struct store *s, struct agent_heard *agents, size_t n,
                             int64_t before_ms)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = ERR_NOT_FOUND;
    int64_t id;

    for (size_t i = 0; e == ERR_NOT_FOUND && i < n; i++)
        e = look(q, &agents[i], before_ms, &id); /* probe first: most need no write lock */
    if (!e)
        e = sqlite_write_begin(q);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    for (size_t i = 0; i < n; i++) {
        agents[i].was_silent = false;
        if (!e)
            e = note(q, &agents[i], before_ms);
    }
    e = sqlite_write_end(q, e);
    for (size_t i = 0; e && i < n; i++)
        agents[i].was_silent = false;
    return e;
}

/* The agents to mark, and their numbers. */
static enum err find_silent(struct sqlite *q, int64_t before_ms, struct agent_silent *agents,
                            int64_t ids[SWEEP_MAX], size_t *ret_n)
{
    struct query r = query_new(q, SQL_AGENTS_SILENT);
    enum err e = ERR_OK;
    size_t n = 0;

    query_int(&r, before_ms);
    query_int(&r, SWEEP_MAX);
    for (; n < SWEEP_MAX && (e = query_step(&r)) == ERR_OK; n++) {
        ids[n] = query_col_int(&r, 0);
        query_col_copy(&r, 1, agents[n].name, sizeof agents[n].name);
        query_col_copy(&r, 2, agents[n].job_id, sizeof agents[n].job_id);
    }
    query_end(&r);
    *ret_n = n;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_agents_silent(struct store *s, int64_t before_ms, struct agent_silent *agents,
                              size_t *ret_n)
{
    struct sqlite *q = sqlite_of(s);
    int64_t ids[SWEEP_MAX];
    size_t n = 0;
    enum err e = find_silent(q, before_ms, agents, ids, &n);

    if (!e && n)
        e = sqlite_write_begin(q);
    if (e || !n) {
        *ret_n = 0;
        return e;
    }
    e = find_silent(q, before_ms, agents, ids, &n);
    for (size_t i = 0; !e && i < n; i++) {
        struct query r = query_new(q, SQL_AGENT_SILENT_PUT);
        query_int(&r, ids[i]);
        e = query_run(&r);
    }
    e = sqlite_write_end(q, e);
    *ret_n = e ? 0 : n;
    return e;
}

enum err sqlite_agents_silent_count(struct store *s, int64_t *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_AGENTS_SILENT_COUNT);
    enum err e = query_step(&r);

    if (!e)
        *ret = query_col_int(&r, 0);
    query_end(&r);
    return e;
}
