/* The outbox: new events. */
#include "worker/store/mongo/outbox.h"

#include <stdio.h>
#include <string.h>

/* The events of one call that still have to be stored. */
struct incoming {
    struct outbox_add *events;
    size_t len;
    bool revive[OUTBOX_CLAIM_MAX]; /* a dead one becomes pending again */
    bool known[OUTBOX_CLAIM_MAX];  /* nothing is to be written but its lane */
};

static void know(struct outbox_add *a, const bson_t *doc)
{
    doc_copy(doc, "_id", a->stored_id, sizeof a->stored_id);
    a->state = outbox_state_of(doc);
}

/* Notes that event i is the one of `doc`, if its id or its content is the same. */
static void same_content(struct incoming *in, size_t i, const bson_t *doc)
{
    struct outbox_add *a = &in->events[i];

    if (doc_text_is(doc, "_id", a->id)) { /* a repeat: also a dead one stays as it is */
        in->known[i] = true;
        in->revive[i] = false;
        know(a, doc);
        return;
    }
    if (in->known[i] || in->revive[i] || !doc_text_is(doc, "lane", a->lane) ||
        !doc_text_is(doc, "url", a->url) || !doc_text_is(doc, "body", a->body))
        return;
    know(a, doc);
    in->revive[i] = a->state == OUTBOX_DEAD;
    in->known[i] = !in->revive[i];
    a->state = OUTBOX_PENDING;
}

/* Finds stored, undelivered events with the same content. */
static enum err find_same(struct mongo *m, struct incoming *in)
{
    bson_t lanes = BSON_INITIALIZER, bodies = BSON_INITIALIZER;
    struct db_found f;

    for (size_t i = 0; i < in->len; i++) {
        doc_put_at(&lanes, i, v_str(in->events[i].lane));
        doc_put_at(&bodies, i, v_str(in->events[i].body));
    }
    enum err e = DB_FIND(m, &f, .collection = OUTBOX,
                         .filter = doc_of("state: {$in: ['pending', 'dead']}, lane: {$in: ?}, "
                                          "body: {$in: ?}",
                                          v_array(&lanes), v_array(&bodies)),
                         .index = IX_LANE, .limit = 2 * (int)in->len);
    bson_destroy(&lanes);
    bson_destroy(&bodies);
    while (!e && db_next(&f))
        for (size_t i = 0; i < in->len; i++)
            same_content(in, i, &f.doc);
    db_end(&f);
    return e;
}

/* The same content twice in one call: the first event stands for both. */
static void join_same(struct incoming *in)
{
    for (size_t i = 1; i < in->len; i++)
        for (size_t k = 0; k < i && !in->known[i] && !in->revive[i]; k++) {
            const struct outbox_add *a = &in->events[i], *b = &in->events[k];
            if (strcmp(a->lane, b->lane) == 0 && strcmp(a->url, b->url) == 0 &&
                strcmp(a->body, b->body) == 0 && b->state == OUTBOX_PENDING) {
                memcpy(in->events[i].stored_id, b->stored_id, sizeof b->stored_id);
                in->known[i] = true;
            }
        }
}

/* Existing fields win, so a repeat changes nothing. The times are the server's. */
static void add_new(struct db_batch *b, const struct outbox_add *a)
{
    bson_t *update = doc_of(
        "[{$replaceWith: {$cond: ['$state', '$$ROOT', {$mergeObjects: [{$literal: {job_id: ?, "
        "lane: ?, receiver: ?, url: ?, body: ?, state: 'pending', order: ?, tries: 0}}, "
        "{created_at: '$$NOW', at: '$$NOW'}, '$$ROOT']}]}}]",
        v_str(a->job_id), v_str(a->lane), v_str(a->receiver), v_str(a->url), v_str(a->body),
        v_int((int64_t)b->n));

    DB_ADD_UPDATE(b, .filter = doc_of("_id: ?", v_str(a->id)), .update = update, .upsert = true);
}

/* Learns the states of events whose ids were there: repeats of requests that were carried out. */
static enum err know_repeats(struct mongo *m, struct incoming *in, const bool *again)
{
    bson_t ids = BSON_INITIALIZER;
    struct db_found f;
    size_t n = 0;

    for (size_t i = 0; i < in->len; i++)
        if (again[i])
            doc_put_at(&ids, n++, v_str(in->events[i].id));
    enum err e =
        n ? DB_FIND(m, &f, .collection = OUTBOX, .filter = doc_of("_id: {$in: ?}", v_array(&ids)),
                    .fields = "state: true", .limit = (int)n)
          : ERR_OK;
    bson_destroy(&ids);
    if (e || !n)
        return e;
    while (db_next(&f))
        for (size_t i = 0; i < in->len; i++)
            if (again[i] && doc_text_is(&f.doc, "_id", in->events[i].id))
                know(&in->events[i], &f.doc);
    db_end(&f);
    return ERR_OK;
}

static enum err put_events(struct mongo *m, struct incoming *in)
{
    size_t members[OUTBOX_CLAIM_MAX], n = 0;
    enum err errs[OUTBOX_CLAIM_MAX];
    bool made[OUTBOX_CLAIM_MAX], again[OUTBOX_CLAIM_MAX] = {false};
    struct db_batch b;

    outbox_batch(&b, OUTBOX);
    b.errs = errs;
    b.made = made;
    for (size_t i = 0; i < in->len; i++) {
        const struct outbox_add *a = &in->events[i];
        if (in->known[i])
            continue;
        if (in->revive[i]) {
            const struct db_change revival = outbox_revival(a->stored_id, a->now_ms);
            db_add_update(&b, &revival);
        } else {
            add_new(&b, a);
        }
        members[n++] = i;
    }
    enum err e = db_run(m, &b, NULL);
    for (size_t k = 0; !e && k < n; k++) {
        size_t i = members[k];
        if (errs[k] && errs[k] != ERR_CONFLICT) /* two processes made it at once */
            in->events[i].err = errs[k];
        else
            again[i] = !made[k] && !in->revive[i];
    }
    return e ? e : know_repeats(m, in, again);
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

static enum err add_some(struct mongo *m, struct outbox_add *events, size_t n)
{
    struct incoming in = {.events = events, .len = n};

    if (n == 1 && outbox_too_large(events))
        return events->err = ERR_TOO_LARGE;
    for (size_t i = 0; i < n; i++) {
        events[i].err = outbox_too_large(&events[i]) ? ERR_TOO_LARGE : ERR_OK;
        in.known[i] = events[i].err != ERR_OK;
        events[i].state = OUTBOX_PENDING;
        events[i].claimed = false;
        snprintf(events[i].stored_id, sizeof events[i].stored_id, "%s", events[i].id);
    }
    enum err e = find_same(m, &in);
    join_same(&in);
    if (!e)
        e = put_events(m, &in);
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
