/* The outbox: lanes, and helpers of its files. */
#include "worker/store/mongo/outbox.h"

static const char *const states[] = {
    [OUTBOX_PENDING] = "pending", [OUTBOX_DELIVERED] = "delivered", [OUTBOX_DEAD] = "dead"};

const char *outbox_state_text(enum outbox_state state)
{
    return states[state];
}

enum outbox_state outbox_state_of(const bson_t *event)
{
    return doc_text_is(event, "state", states[OUTBOX_PENDING]) ? OUTBOX_PENDING
           : doc_text_is(event, "state", states[OUTBOX_DEAD])  ? OUTBOX_DEAD
                                                               : OUTBOX_DELIVERED;
}

void outbox_batch(struct db_batch *b, const char *collection)
{
    *b = (struct db_batch)DB_BATCH(collection);
    b->unordered = true;
}

/* ---- lanes ---- */

void outbox_add_wake(struct db_batch *lanes, const char *lane, const char *receiver,
                     const char *token, int64_t due_ms)
{
    bson_t *update =
        doc_of("$inc: {wake: ?}, $setOnInsert: {receiver: ?, due_at: ?, token: ?}", v_int64(1),
               v_str(receiver), v_date(due_ms), token ? v_str(token) : v_none());

    DB_ADD_UPDATE(lanes, .filter = doc_of("_id: ?", v_str(lane)), .update = update, .upsert = true);
}

enum err outbox_wake_one(struct mongo *m, const char *lane, const char *receiver, int64_t now_ms)
{
    struct db_batch lanes = DB_BATCH(LANES);

    lanes.twice = true;
    outbox_add_wake(&lanes, lane, receiver, NULL, now_ms);
    return db_run(m, &lanes, NULL);
}

struct db_change outbox_revival(const char *id, int64_t now_ms)
{
    return (struct db_change){
        .filter = doc_of("_id: ?, state: 'dead'", v_str(id)),
        .update = doc_of("$set: {state: 'pending', tries: 0, at: ?}", v_date(now_ms))};
}

/* ---- the end of a claim ---- */

void outbox_release_init(struct outbox_release *r)
{
    outbox_batch(&r->drop, LANES);
    outbox_batch(&r->due, LANES);
    r->drop.light = r->due.light = true;
    r->is_due = false;
}

void outbox_release_until(struct outbox_release *r, const char *lane, const char *token,
                          int64_t due_ms, bool at_once)
{
    r->is_due = r->is_due || at_once;
    DB_ADD_UPDATE(&r->due, .filter = doc_of("_id: ?, token: ?", v_str(lane), v_str(token)),
                  .update = doc_of("$set: {due_at: ?}, $unset: {token: ''}", v_date(due_ms)));
}

void outbox_release_empty(struct outbox_release *r, const char *lane, const char *token,
                          int64_t wake, int64_t now_ms)
{
    db_add_delete(&r->drop,
                  doc_of("_id: ?, token: ?, wake: ?", v_str(lane), v_str(token), v_int64(wake)),
                  false);
    outbox_release_until(r, lane, token, now_ms, false);
}

enum err outbox_release_run(struct mongo *m, struct outbox_release *r)
{
    struct db_done dropped;
    size_t empty = r->drop.n;
    enum err e = db_run(m, &r->drop, &dropped);

    r->is_due = r->is_due || (size_t)dropped.matched < empty; /* an event came meanwhile */
    if (!e && (size_t)dropped.matched < r->due.n)
        return db_run(m, &r->due, NULL);
    db_drop(&r->due);
    return e;
}

void outbox_release_free(struct outbox_release *r)
{
    db_drop(&r->drop);
    db_drop(&r->due);
}
