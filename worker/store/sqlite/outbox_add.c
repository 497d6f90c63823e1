/* The outbox: new events. */
#include "worker/store/sqlite/sqlite.h"

#include <stdio.h>

/* The stored event of this id. ERR_NOT_FOUND. */
static enum err find_repeat(struct sqlite *q, struct outbox_add *a)
{
    struct query r = query_new(q, SQL_EVENT_STATE);

    query_str(&r, a->id);
    enum err e = query_step(&r);
    if (!e)
        a->state = (enum outbox_state)query_col_int(&r, 0);
    query_end(&r);
    return e;
}

static enum err revive(struct sqlite *q, const char *id, int64_t now_ms)
{
    struct query r = query_new(q, SQL_EVENT_REVIVE);

    query_str(&r, id);
    query_int(&r, now_ms);
    return query_probe(&r);
}

/* Finds an undelivered event of the same content, and makes it pending. ERR_NOT_FOUND. */
static enum err find_same(struct sqlite *q, struct outbox_add *a)
{
    struct query r = query_new(q, SQL_EVENT_SAME);
    bool dead = false;

    query_str(&r, a->lane);
    query_str(&r, a->url);
    query_str(&r, a->body);
    enum err e = query_step(&r);
    if (!e) {
        query_col_copy(&r, 0, a->stored_id, sizeof a->stored_id);
        dead = query_col_int(&r, 1) == OUTBOX_DEAD;
    }
    query_end(&r);
    return !e && dead ? revive(q, a->stored_id, a->now_ms) : e;
}

static enum err insert(struct sqlite *q, const struct outbox_add *a)
{
    struct query r = query_new(q, SQL_EVENT_ADD);

    query_str(&r, a->id);
    query_str(&r, a->job_id);
    query_str(&r, a->lane);
    query_str(&r, a->receiver);
    query_str(&r, a->url);
    query_str(&r, a->body);
    query_int(&r, a->now_ms);
    return query_run(&r);
}

/* Counts one more event of a lane; *ret_new: the lane is new. */
static enum err wake(struct sqlite *q, const struct outbox_add *a, bool *ret_new)
{
    struct query r = query_new(q, SQL_LANE_WAKE);

    query_str(&r, a->lane);
    query_str(&r, a->receiver);
    query_int(&r, a->token ? a->lease_end_ms : a->now_ms);
    query_str(&r, a->token);
    enum err e = query_step(&r);
    if (!e)
        *ret_new = query_col_int(&r, 0) == 1;
    query_end(&r);
    return e;
}

static enum err add(struct sqlite *q, struct outbox_add *a)
{
    bool fresh = false;
    enum err e = find_repeat(q, a);

    if (e == ERR_NOT_FOUND)
        e = find_same(q, a);
    if (e == ERR_NOT_FOUND)
        e = insert(q, a);
    if (e || a->state != OUTBOX_PENDING)
        return e;
    e = wake(q, a, &fresh);
    a->claimed = !e && fresh && a->token;
    return e;
}

enum err sqlite_outbox_add(struct store *s, struct outbox_add *events, size_t n)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);
    bool begun = !e;

    for (size_t i = 0; i < n; i++) {
        struct outbox_add *a = &events[i];
        a->state = OUTBOX_PENDING;
        a->claimed = false;
        snprintf(a->stored_id, sizeof a->stored_id, "%s", a->id);
        a->err = !e && outbox_too_large(a) ? ERR_TOO_LARGE : ERR_OK;
        if (!e && !a->err)
            e = add(q, a);
    }
    if (begun)
        e = sqlite_write_end(q, e);
    for (size_t i = 0; e && i < n; i++)
        events[i].err = e;
    return n == 1 ? events[0].err : e;
}
