/* The outbox: outcomes of claimed events. */
#include "worker/store/mongo/outbox.h"

/* A delivery is recorded even if another dispatcher has taken the lane meanwhile; other outcomes
 * change an event only while it is pending. */
static void add_outcome(struct db_batch *events, const struct outbox_settle *o,
                        const struct outbox_after *after)
{
    bool done = after->state == OUTBOX_DELIVERED, moved = after->state != OUTBOX_PENDING;
    bson_t *update = doc_of(
        "$set: {status: ?, answer: ?, reason: ?, state: ?, at: ?}, $inc: {tries: 1}, $unset: ?",
        v_int(o->status), v_bytes(after->answer), done ? v_none() : v_str(o->reason),
        moved ? v_str(outbox_state_text(after->state)) : v_none(),
        moved ? v_date(o->now_ms) : v_none(),
        done ? v_own(doc_of("body: '', reason: ''")) : v_none());

    DB_ADD_UPDATE(events,
                  .filter = doc_of("_id: ?, state: ?", v_str(o->event->id),
                                   done ? v_none() : v_str("pending")),
                  .update = update);
}

static enum err settle_some(struct mongo *m, const struct outbox_settle *settled, size_t n,
                            bool *ret_due)
{
    struct outbox_release release;
    struct db_batch events;

    outbox_batch(&events, OUTBOX);
    events.light = true;
    outbox_release_init(&release);
    for (size_t i = 0; i < n; i++) {
        const struct outbox_settle *o = &settled[i];
        const struct outbox_event *ev = o->event;
        const struct outbox_after after = outbox_after(o);
        if (after.tried)
            add_outcome(&events, o, &after);
        if (after.over && !ev->more)
            outbox_release_empty(&release, ev->lane, ev->token, ev->wake, o->now_ms);
        else
            outbox_release_until(&release, ev->lane, ev->token, after.due_ms, after.over);
    }
    enum err e = db_run(m, &events, NULL);
    if (e)
        outbox_release_free(&release); /* their leases end by themselves */
    else
        e = outbox_release_run(m, &release);
    *ret_due = *ret_due || release.is_due;
    return e;
}

enum err mongo_outbox_settle(struct store *s, const struct outbox_settle *events, size_t n,
                             bool *ret_due)
{
    enum err e = ERR_OK;

    *ret_due = false;
    for (size_t i = 0; !e && i < n; i += OUTBOX_CLAIM_MAX)
        e = settle_some(mongo_of(s), events + i,
                        n - i < OUTBOX_CLAIM_MAX ? n - i : OUTBOX_CLAIM_MAX, ret_due);
    return e;
}
