/* The outbox: outcomes of claimed events. */
#include "worker/store/sqlite/sqlite.h"

static enum err put_outcome(struct sqlite *q, const struct outbox_settle *o,
                            const struct outbox_after *after)
{
    static const enum sql statements[] = {[OUTBOX_DELIVERED] = SQL_EVENT_DONE,
                                          [OUTBOX_PENDING] = SQL_EVENT_RETRY,
                                          [OUTBOX_DEAD] = SQL_EVENT_GIVE_UP};

    if (!after->tried)
        return ERR_OK;
    struct query r = query_new(q, statements[after->state]);
    query_str(&r, o->event->id);
    if (after->state == OUTBOX_DELIVERED)
        query_int(&r, o->now_ms);
    query_int(&r, o->status);
    query_blob(&r, after->answer);
    if (after->state != OUTBOX_DELIVERED)
        query_str(&r, o->reason);
    if (after->state == OUTBOX_DEAD)
        query_int(&r, o->now_ms);
    return query_run(&r);
}

/* Removes the lane unless an event came meanwhile; *ret_gone: removed. */
static enum err drop(struct sqlite *q, const struct outbox_event *ev, bool *ret_gone)
{
    struct query r = query_new(q, SQL_LANE_DROP);

    query_str(&r, ev->lane);
    query_str(&r, ev->token);
    query_int(&r, ev->wake);
    enum err e = query_run(&r);
    *ret_gone = !e && query_changes(&r) > 0;
    return e;
}

static enum err settle(struct sqlite *q, const struct outbox_settle *o, bool *ret_due)
{
    const struct outbox_after after = outbox_after(o);
    bool gone = false;
    enum err e = put_outcome(q, o, &after);

    if (!e && after.over && !o->event->more)
        e = drop(q, o->event, &gone);
    if (e || gone)
        return e;
    struct query r = query_new(q, SQL_LANE_RELEASE);
    query_str(&r, o->event->lane);
    query_str(&r, o->event->token);
    query_int(&r, after.due_ms);
    *ret_due = *ret_due || after.over;
    return query_run(&r);
}

enum err sqlite_outbox_settle(struct store *s, const struct outbox_settle *events, size_t n,
                              bool *ret_due)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    *ret_due = false;
    if (e)
        return e;
    for (size_t i = 0; !e && i < n; i++)
        e = settle(q, &events[i], ret_due);
    return sqlite_write_end(q, e);
}
