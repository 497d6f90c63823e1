/* Expiry. Each step reads the next few items of a kind by age and removes those of no active job.
 */
#include "worker/store/sqlite/job.h"

#include <stdio.h>
#include <string.h>

/* Statements that remove an item by its key, up to SQL_COUNT_. */
static const enum sql drop_jobs[] = {SQL_JOB_DATA_DROP, SQL_RESULT_DROP, SQL_ATTEMPTS_DROP,
                                     SQL_HISTORY_DROP,  SQL_TAGS_DROP,   SQL_JOB_EVENTS_DROP,
                                     SQL_JOB_DROP,      SQL_COUNT_};
static const enum sql drop_output[] = {SQL_OUTPUT_EXPIRE, SQL_COUNT_};
static const enum sql drop_logs[] = {SQL_FRAGMENT_TEXT_DROP, SQL_FRAGMENT_DROP, SQL_COUNT_};
static const enum sql drop_files[] = {SQL_FILE_DROP, SQL_COUNT_};
static const enum sql drop_agents[] = {SQL_AGENT_QUEUES_DROP, SQL_AGENT_DROP, SQL_COUNT_};
static const enum sql drop_keys[] = {SQL_KEY_DROP, SQL_COUNT_};
static const enum sql drop_queues[] = {SQL_QUEUE_DROP, SQL_COUNT_};

#define PURGE_MAX 100 /* entries of live output that were taken, in one step */

#define NAME_SIZE 80 /* of the id of a file or job, of a digest */

static const struct source {
    enum expiry_kind kind;
    enum sql old;         /* gives the old ones */
    int64_t type;         /* of output */
    const enum sql *drop; /* see above */
} sources[EXPIRY_KINDS] = {
    {EXPIRY_JOBS, SQL_OLD_JOBS, 0, drop_jobs},
    {EXPIRY_OUTPUT, SQL_OLD_OUTPUT, OUTPUT_OUTPUT, drop_output},
    {EXPIRY_SERIAL, SQL_OLD_OUTPUT, OUTPUT_SERIAL, drop_output},
    {EXPIRY_LOGS, SQL_OLD_FRAGMENTS, 0, drop_logs},
    {EXPIRY_FILES, SQL_OLD_FILES, 0, drop_files},
    {EXPIRY_AGENTS, SQL_OLD_AGENTS, 0, drop_agents},
    {EXPIRY_QUEUES, SQL_OLD_QUEUES, 0, drop_queues},
    {EXPIRY_KEYS, SQL_OLD_KEYS, 0, drop_keys},
};

/* Whether the keys are texts. */
static bool is_named(const struct source *src)
{
    return src->kind == EXPIRY_FILES || src->kind == EXPIRY_KEYS;
}

struct old {
    int64_t id;
    char name[NAME_SIZE]; /* instead, where the key is a text; of a job beside it */
    int64_t age_ms;
    enum job_fate fate;
};

static struct old old_of(const struct query *r, const struct expiry *x)
{
    struct old o = {.age_ms = query_col_int(r, 1)};
    bool named = is_named(&sources[x->kind]);

    if (named || x->kind == EXPIRY_JOBS) {
        struct text name = query_col_text(r, named ? 0 : 5);
        snprintf(o.name, sizeof o.name, "%.*s", (int)name.len, name.s ? name.s : "");
    }
    if (!named)
        o.id = query_col_int(r, 0);
    if (x->kind == EXPIRY_JOBS)
        o.fate = job_fate(&(struct job_age){query_col_str(r, 3), o.age_ms, query_col_int(r, 4)},
                          &x->limits);
    else
        o.fate = query_col_int(r, 2) ? JOB_STAYS : JOB_GOES;
    return o;
}

/* The items from the walk's place on, without those already seen. */
static enum err look(struct sqlite *q, const struct expiry *x, struct old old[EXPIRY_STEP],
                     size_t *ret_len)
{
    const struct source *src = &sources[x->kind];
    struct query r = query_new(q, src->old);
    size_t len = 0, seen = 0;
    enum err e;

    query_int(&r, x->from_ms);
    query_int(&r, expiry_end_ms(x));
    query_int(&r, (int64_t)(x->kept + EXPIRY_STEP));
    if (src->old == SQL_OLD_OUTPUT)
        query_int(&r, src->type);
    while ((e = query_step(&r)) == ERR_OK)
        if (seen++ >= x->kept && len < EXPIRY_STEP)
            old[len++] = old_of(&r, x);
    query_end(&r);
    *ret_len = len;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void bind_key(struct query *r, const struct source *src, const struct old *o)
{
    if (is_named(src))
        query_str(r, o->name);
    else
        query_int(r, o->id);
}

static enum err end_one(struct sqlite *q, const struct old *o, struct expiry *x)
{
    const struct source *src = &sources[x->kind];
    enum err e = ERR_OK;

    if (o->fate == JOB_IS_CANCELLED) {
        expiry_cancelled(x, (struct text){o->name, strlen(o->name)});
        return sqlite_job_end(q, o->id, "cancelled", EXPIRY_REASON);
    }
    if (x->kind == EXPIRY_FILES) {
        struct query r = query_new(q, SQL_FILE_DROP_ADD);
        bind_key(&r, src, o);
        query_int(&r, sqlite_now_ms(q) + FILE_REPLACED_MS);
        e = query_run(&r);
    }
    for (const enum sql *drop = src->drop; !e && *drop != SQL_COUNT_; drop++) {
        struct query r = query_new(q, *drop);
        bind_key(&r, src, o);
        e = query_run(&r);
    }
    x->removed++;
    return e;
}

static bool all_stay(const struct old *old, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (old[i].fate != JOB_STAYS)
            return false;
    return true;
}

enum err sqlite_expire(struct store *s, struct expiry *x)
{
    struct sqlite *q = sqlite_of(s);
    struct old old[EXPIRY_STEP];
    size_t len = 0;
    bool purging = false;
    enum err e = look(q, x, old, &len);

    x->removed = x->cancelled = 0;
    if (!e && x->kind == EXPIRY_OUTPUT)
        e = sqlite_output_purge(q, x->now_ms - TAKEN_KEPT_MS, PURGE_MAX, &purging);
    if (e)
        return e;
    if (!all_stay(old, len)) { /* probe first: most steps find nothing and need no write lock */
        e = sqlite_write_begin(q);
        if (e)
            return e;
        e = look(q, x, old, &len);
        for (size_t i = 0; !e && i < len; i++)
            if (old[i].fate != JOB_STAYS)
                e = end_one(q, &old[i], x);
        e = sqlite_write_end(q, e);
    }
    for (size_t i = 0; !e && i < len; i++)
        expiry_passed(x, old[i].age_ms, old[i].fate != JOB_GOES);
    x->more = len == EXPIRY_STEP || purging;
    return e;
}
