/* The end of claims: they arrived, did not, or took too long. */
#include "worker/store/sqlite/job.h"

#include "common/mem.h"
#include "worker/jobs/claims.h"

#include <stdlib.h>
#include <string.h>

/* Makes the job of an open claim wait again, within a write. */
static enum err give_back(struct sqlite *q, const char *token, char **ret_queue)
{
    struct query r = query_new(q, SQL_CLAIM_RETURN);
    char *queue = NULL;
    int64_t id = 0;

    query_str(&r, token);
    enum err e = query_step(&r);
    if (!e) {
        struct text name = query_col_text(&r, 1);
        id = query_col_int(&r, 0);
        queue = mem_strndup(name.s ? name.s : "", name.len);
        e = query_step(&r); /* step to the end: only then the write is complete */
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    query_end(&r);
    if (!e)
        e = sqlite_history_add(q, id, "waiting", NULL);
    if (e)
        free(queue);
    else
        *ret_queue = queue;
    return e;
}

static enum err settle(struct sqlite *q, struct claim_settle *c)
{
    if (!c->arrived) {
        enum err e = give_back(q, c->token, &c->queue);
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct query r = query_new(q, SQL_CLAIM_CLOSE);
    query_str(&r, c->token);
    return query_run(&r);
}

enum err sqlite_claims_settle(struct store *s, struct claim_settle *claims, size_t n)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    if (e)
        return e;
    for (size_t i = 0; !e && i < n; i++)
        e = settle(q, &claims[i]);
    e = sqlite_write_end(q, e);
    for (size_t i = 0; i < n; i++)
        claims[i].err = e;
    return ERR_OK;
}

/* An open claim whose time is over. */
struct late {
    char token[REQUEST_ID_SIZE];
    int64_t id;
    bool lost; /* claim_is_lost() */
};

static enum err find_late(struct sqlite *q, int64_t before_ms, struct late late[SWEEP_MAX],
                          size_t *ret_n)
{
    struct query r = query_new(q, SQL_CLAIM_OVERDUE);
    enum err e = ERR_OK;
    size_t n = 0;

    query_int(&r, before_ms);
    query_int(&r, SWEEP_MAX);
    while (n < SWEEP_MAX && (e = query_step(&r)) == ERR_OK) {
        struct text token = query_col_text(&r, 0);
        late[n] =
            (struct late){.id = query_col_int(&r, 1), .lost = claim_is_lost(query_col_text(&r, 2))};
        if (token.s && token.len < REQUEST_ID_SIZE)
            memcpy(late[n].token, token.s, token.len);
        n++;
    }
    query_end(&r);
    *ret_n = n;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err end_late(struct sqlite *q, const struct late *late, struct sweep *sweep)
{
    if (late->lost) {
        enum err e = give_back(q, late->token, &sweep->wake[sweep->wake_len]);
        sweep->wake_len += !e;
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct query r = query_new(q, SQL_OPEN_END);
    query_int(&r, late->id);
    return query_run(&r);
}

enum err sqlite_claims_overdue(struct store *s, struct sweep *sweep)
{
    struct sqlite *q = sqlite_of(s);
    struct late late[SWEEP_MAX];
    size_t n = 0;
    enum err e = find_late(q, sweep->before_ms, late, &n);

    if (e || !n) /* probe first: most find nothing and need no write lock */
        return e;
    e = sqlite_write_begin(q);
    if (e)
        return e;
    for (size_t i = 0; !e && i < n; i++)
        e = end_late(q, &late[i], sweep);
    e = sqlite_write_end(q, e);
    sweep->done = e ? 0 : n;
    sweep->more = n == SWEEP_MAX;
    return e;
}

/* Whether another process has the turn. */
static enum err is_taken(struct sqlite *q, struct sweep_turn *turn, bool *ret)
{
    struct query r = query_new(q, SQL_SWEEP_TAKEN);

    query_str(&r, turn->owner);
    query_int(&r, turn->now_ms);
    enum err e = query_step(&r);
    *ret = !e;
    if (!e)
        turn->end_ms = query_col_int(&r, 0);
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_sweep_turn(struct store *s, struct sweep_turn *turn, bool *ret_mine)
{
    struct sqlite *q = sqlite_of(s);
    bool mine = false, taken;
    enum err e = is_taken(q, turn, &taken);

    *ret_mine = false;
    if (!e && !taken)
        e = sqlite_write_begin(q);
    if (e || taken)
        return e;
    struct query r = query_new(q, SQL_SWEEP_TURN);
    query_str(&r, turn->owner);
    query_int(&r, turn->now_ms);
    query_int(&r, turn->end_ms);
    e = query_run(&r);
    mine = !e && query_changes(&r) > 0;
    e = sqlite_write_end(q, e);
    if (!e)
        *ret_mine = mine;
    return e;
}
