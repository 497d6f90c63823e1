/* The outbox: new events. */
#include "worker/store/mongo/outbox.h"

#include <stdio.h>
#include <string.h>

/* The events of one call. */
struct incoming {
    struct outbox_add *events;
    size_t len;
    const struct outbox_add *same[OUTBOX_CLAIM_MAX]; /* an earlier one of the same content */
    bool open[OUTBOX_CLAIM_MAX];                     /* still to be stored */
    bool there[OUTBOX_CLAIM_MAX]; /* one of its id or content is, which is not known yet */
};

static bool same_content(const struct outbox_add *a, const struct outbox_add *b)
{
    return strcmp(a->lane, b->lane) == 0 && strcmp(a->url, b->url) == 0 &&
           strcmp(a->body, b->body) == 0;
}

/* The same content twice in one call: the first event stands for both. */
static void join_same(struct incoming *in)
{
    for (size_t i = 1; i < in->len; i++)
        for (size_t k = 0; k < i && in->open[i]; k++)
            if (in->open[k] && same_content(&in->events[i], &in->events[k])) {
                in->same[i] = &in->events[k];
                in->open[i] = false;
            }
}

/* ---- events that are there ---- */

static void know(struct incoming *in, size_t i, const bson_t *doc)
{
    struct outbox_add *a = &in->events[i];

    doc_copy(doc, "_id", a->stored_id, sizeof a->stored_id);
    a->state = outbox_state_of(doc);
    in->there[i] = in->open[i] = false;
}

/* Learns the states of events whose ids were there: repeats of requests that were carried out. */
static enum err know_repeats(struct mongo *m, struct incoming *in)
{
    bson_t ids = BSON_INITIALIZER;
    struct db_found f;
    int n = 0;

    for (size_t i = 0; i < in->len; i++)
        if (in->there[i])
            doc_put_at(&ids, (size_t)n++, v_str(in->events[i].id));
    enum err e =
        DB_FIND(m, &f, .collection = OUTBOX, .filter = doc_of("_id: {$in: ?}", v_array(&ids)),
                .fields = "state: true", .limit = n);
    bson_destroy(&ids);
    while (!e && db_next(&f))
        for (size_t i = 0; i < in->len; i++)
            if (in->there[i] && doc_text_is(&f.doc, "_id", in->events[i].id))
                know(in, i, &f.doc);
    db_end(&f);
    return e;
}

/* Learns which undelivered event of its content stands for one. */
static enum err know_same(struct mongo *m, struct incoming *in, size_t i)
{
    const struct outbox_add *a = &in->events[i];
    struct db_found f;
    enum err e = DB_FIRST(m, &f, .collection = OUTBOX,
                          .filter = doc_of("state: {$in: ['pending', 'dead']}, lane: ?, url: ?, "
                                           "body: ?",
                                           v_str(a->lane), v_str(a->url), v_str(a->body)),
                          .fields = "state: true", .index = IX_LANE);

    if (!e)
        know(in, i, &f.doc);
    db_end(&f);
    return e == ERR_NOT_FOUND ? ERR_OK : e; /* it was delivered meanwhile */
}

/* Learns which events stand for those that were not made. */
static enum err know_those_there(struct mongo *m, struct incoming *in)
{
    bool any = false;

    for (size_t i = 0; i < in->len; i++)
        any = any || in->there[i];
    enum err e = any ? know_repeats(m, in) : ERR_OK;
    for (size_t i = 0; !e && i < in->len; i++)
        if (in->there[i])
            e = know_same(m, in, i);
    return e;
}

/* ---- new events ---- */

/* Makes the event unless an undelivered one of its content is there; a dead one becomes pending
 * again, but not by a repeat of the request that brought it. Where the id is there with other
 * content, a delivered event has none, the statement fails with ERR_CONFLICT. The times are the
 * server's. */
static void add_event(struct db_batch *b, const struct outbox_add *a)
{
    bson_t *filter = doc_of("state: {$in: ['pending', 'dead']}, lane: ?, url: ?, body: ?",
                            v_str(a->lane), v_str(a->url), v_str(a->body));
    bson_t *update = doc_of(
        "[{$replaceWith: {$switch: {branches: [{case: {$not: ['$state']}, then: {$mergeObjects: ["
        "{$literal: {_id: ?, job_id: ?, receiver: ?, state: 'pending', order: ?, tries: 0}}, "
        "{created_at: '$$NOW', at: '$$NOW'}, '$$ROOT']}}, {case: {$and: [{$eq: ['$state', "
        "'dead']}, {$ne: ['$_id', {$literal: ?}]}]}, then: {$mergeObjects: ['$$ROOT', {state: "
        "'pending', tries: 0, at: '$$NOW'}]}}], default: '$$ROOT'}}}]",
        v_str(a->id), v_str(a->job_id), v_str(a->receiver), v_int((int64_t)b->n), v_str(a->id));

    DB_ADD_UPDATE(b, .filter = filter, .update = update, .index = IX_LANE, .upsert = true);
}

static enum err put_events(struct mongo *m, struct incoming *in)
{
    size_t members[OUTBOX_CLAIM_MAX], n = 0;
    enum err errs[OUTBOX_CLAIM_MAX];
    bool made[OUTBOX_CLAIM_MAX];
    struct db_batch b;

    outbox_batch(&b, OUTBOX);
    b.errs = errs;
    b.made = made;
    for (size_t i = 0; i < in->len; i++)
        if (in->open[i]) {
            add_event(&b, &in->events[i]);
            members[n++] = i;
        }
    enum err e = db_run(m, &b, NULL);
    for (size_t k = 0; !e && k < n; k++) {
        size_t i = members[k];
        if (errs[k] && errs[k] != ERR_CONFLICT)
            in->events[i].err = errs[k];
        in->there[i] = !in->events[i].err && !made[k];
        in->open[i] = in->there[i];
    }
    return e ? e : know_those_there(m, in);
}

static enum err put_lanes(struct mongo *m, struct incoming *in)
{
    size_t members[OUTBOX_CLAIM_MAX], n = 0;
    bool made[OUTBOX_CLAIM_MAX];
    struct db_batch b;

    outbox_batch(&b, LANES);
    b.twice = true;
    b.made = made;
    for (size_t i = 0; i < in->len; i++) {
        const struct outbox_add *a = &in->events[i];
        if (a->err || a->state != OUTBOX_PENDING)
            continue;
        outbox_add_wake(&b, a->lane, a->receiver, a->token, a->token ? a->lease_end_ms : a->now_ms);
        members[n++] = i;
    }
    enum err e = db_run(m, &b, NULL);
    for (size_t k = 0; !e && k < n; k++)
        in->events[members[k]].claimed = made[k] && in->events[members[k]].token;
    return e;
}

/* An event that stands for another is delivered meanwhile at most this often. */
#define PUTS_MAX 3

static bool any_open(const struct incoming *in)
{
    for (size_t i = 0; i < in->len; i++)
        if (in->open[i])
            return true;
    return false;
}

/* Gives events what became of those that stand for them. */
static void share(struct incoming *in)
{
    for (size_t i = 0; i < in->len; i++) {
        struct outbox_add *a = &in->events[i];
        if (!in->same[i])
            continue;
        a->err = in->same[i]->err;
        a->state = in->same[i]->state;
        memcpy(a->stored_id, in->same[i]->stored_id, sizeof a->stored_id);
    }
}

static enum err add_some(struct mongo *m, struct outbox_add *events, size_t n)
{
    struct incoming in = {.events = events, .len = n};
    enum err e = ERR_OK;

    for (size_t i = 0; i < n; i++) {
        events[i].err = outbox_too_large(&events[i]) ? ERR_TOO_LARGE : ERR_OK;
        in.open[i] = !events[i].err;
        events[i].state = OUTBOX_PENDING;
        events[i].claimed = false;
        snprintf(events[i].stored_id, sizeof events[i].stored_id, "%s", events[i].id);
    }
    join_same(&in);
    for (int i = 0; !e && any_open(&in); i++)
        e = i < PUTS_MAX ? put_events(m, &in) : ERR_UNAVAILABLE;
    share(&in);
    if (!e)
        e = put_lanes(m, &in);
    for (size_t i = 0; e && i < n; i++)
        events[i].err = e;
    return n == 1 ? events[0].err : e;
}

enum err mongo_outbox_add(struct store *s, struct outbox_add *events, size_t n)
{
    enum err all = ERR_OK;

    for (size_t i = 0; i < n; i += OUTBOX_CLAIM_MAX) {
        size_t some = n - i < OUTBOX_CLAIM_MAX ? n - i : OUTBOX_CLAIM_MAX;
        enum err e = add_some(mongo_of(s), events + i, some);
        all = i == 0 || e == all ? e : ERR_OK;
    }
    return all;
}
