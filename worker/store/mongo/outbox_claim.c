/* The outbox: hands due lanes to a dispatcher. */
#include "worker/store/mongo/outbox.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { BIG_EVENT = 64 * 1024 /* bytes */ };

/* A lane to claim, as read. */
struct lane {
    bson_t doc;   /* a view of what was read */
    bson_t found; /* a view of it with its events, len 0: it was not taken */
    char *id;
};

/* The lane, unless a running lease holds it. */
static enum err find_free(struct mongo *m, const struct outbox_claim *c, struct db_found *ret)
{
    return DB_FIND(m, ret, .collection = LANES,
                   .filter = doc_of("_id: ?, $or: [{token: null}, "
                                    "{due_at: {$lte: ?}}]",
                                    v_str(c->lane), v_date(c->now_ms)),
                   .limit = 1);
}

static enum err find_due(struct mongo *m, const struct outbox_claim *c, struct db_found *ret)
{
    return DB_FIND(m, ret, .collection = LANES,
                   .filter = doc_of("due_at: {$lte: ?}, receiver: {$nin: ?}", v_date(c->now_ms),
                                    v_strs(c->exclude, c->exclude_len)),
                   .index = IX_DUE, .in_order = true, .limit = 2 * (int)c->limit);
}

/* Chooses among the found lanes; returns their number. */
static size_t choose(const struct outbox_claim *c, struct db_found *f,
                     struct lane lanes[OUTBOX_CLAIM_MAX], size_t *ret_n)
{
    size_t found = 0;

    for (*ret_n = 0; db_next(f); found++) {
        const char *receiver = doc_str(&f->doc, "receiver");
        if (*ret_n == c->limit || !receiver || !c->accept(c->arg, receiver))
            continue;
        struct lane *l = &lanes[(*ret_n)++];
        *l = (struct lane){.id = doc_dup(&f->doc, "_id")};
        bson_init_static(&l->doc, bson_get_data(&f->doc), f->doc.len);
    }
    return found;
}

/* Takes those that nobody has taken meanwhile: they hold the token then. */
static enum err take(struct mongo *m, const struct outbox_claim *c, struct lane *lanes, size_t n)
{
    struct db_batch b;

    outbox_batch(&b, LANES);
    b.light = true;
    for (size_t i = 0; i < n; i++)
        DB_ADD_UPDATE(
            &b,
            .filter = doc_of("_id: ?, due_at: ?, token: ?", v_str(lanes[i].id),
                             v_field(&lanes[i].doc, "due_at"), v_field(&lanes[i].doc, "token")),
            .update =
                doc_of("$set: {due_at: ?, token: ?}", v_date(c->lease_end_ms), v_str(c->token)));
    return db_run(m, &b, NULL);
}

/* Finds the lanes that hold the token, each with its first two `events`. A large one is `big`
 * instead, so that the answer stays below 16 MiB. */
static enum err find_heads(struct mongo *m, const char *token, const struct lane *lanes, size_t n,
                           struct db_found *ret)
{
    bson_t ids = BSON_INITIALIZER;

    for (size_t i = 0; i < n; i++)
        doc_put_at(&ids, i, v_str(lanes[i].id));
    enum err e = db_aggregate(
        m, LANES,
        doc_of("[{$match: {_id: {$in: ?}, token: ?}}, {$lookup: {from: '" OUTBOX "', "
               "let: {lane: '$_id'}, as: 'events', pipeline: ["
               "{$match: {state: 'pending', $expr: {$eq: ['$lane', '$$lane']}}}, "
               "{$sort: {created_at: 1, order: 1}}, {$limit: 2}, {$replaceWith: {$cond: "
               "[{$gt: [{$bsonSize: '$$ROOT'}, ?]}, {big: true}, '$$ROOT']}}]}}]",
               v_array(&ids), v_str(token), v_int(BIG_EVENT)),
        IX_ID, ret);
    bson_destroy(&ids);
    return e;
}

/* The event of a document, with the lane that it is the head of. */
static struct outbox_event event_of(const bson_t *doc, const struct lane *l)
{
    struct outbox_event e = {.since_ms = doc_date(doc, "at"),
                             .tries = doc_int(doc, "tries", 0),
                             .wake = doc_int(&l->doc, "wake", 0),
                             .lane = mem_strdup(l->id),
                             .job_id = doc_dup(doc, "job_id"),
                             .receiver = doc_dup(doc, "receiver"),
                             .url = doc_dup(doc, "url"),
                             .body = doc_dup(doc, "body"),
                             .body_len = doc_text(doc, "body").len};

    doc_copy(doc, "_id", e.id, sizeof e.id);
    return e;
}

/* Reads a head that is too large to be found with others. ERR_NOT_FOUND: it has gone. */
static enum err read_big(struct mongo *m, const struct lane *l, struct outbox_event *ret)
{
    struct db_found f;
    enum err e = DB_FIRST(m, &f, .collection = OUTBOX,
                          .filter = doc_of("state: 'pending', lane: ?", v_str(l->id)),
                          .index = IX_LANE, .in_order = true);

    if (!e)
        *ret = event_of(&f.doc, l);
    db_end(&f);
    return e;
}

/* Reads the head of a lane as found. ERR_NOT_FOUND: it has no pending event. */
static enum err read_head(struct mongo *m, const struct lane *l, struct outbox_event *ret)
{
    bson_iter_t events;
    bson_t head;
    enum err e = ERR_OK;

    if (!doc_list(&l->found, "events", &events) || !bson_iter_next(&events) ||
        !doc_view(&events, &head))
        return ERR_NOT_FOUND;
    if (bson_has_field(&head, "big"))
        e = read_big(m, l, ret);
    else
        *ret = event_of(&head, l);
    ret->more = !e && bson_iter_next(&events);
    return e;
}

/* Notes with each lane what was found of it. */
static void note_found(struct db_found *f, struct lane *lanes, size_t n)
{
    while (db_next(f))
        for (size_t i = 0; i < n; i++)
            if (doc_text_is(&f->doc, "_id", lanes[i].id))
                bson_init_static(&lanes[i].found, bson_get_data(&f->doc), f->doc.len);
}

/* Fills the claim with the heads of the lanes that were taken; releases empty ones. */
static enum err read_heads(struct mongo *m, struct outbox_claim *c, struct lane *lanes, size_t n)
{
    struct outbox_release empty;
    struct db_found f;
    enum err e = find_heads(m, c->token, lanes, n, &f);

    outbox_release_init(&empty);
    if (!e)
        note_found(&f, lanes, n);
    for (size_t i = 0; !e && i < n; i++) {
        const struct lane *l = &lanes[i];
        if (!l->found.len) /* another dispatcher has it */
            continue;
        e = read_head(m, l, &c->events[c->len]);
        if (!e)
            snprintf(c->events[c->len++].token, OUTBOX_TOKEN_SIZE, "%s", c->token);
        if (e == ERR_NOT_FOUND) {
            outbox_release_empty(&empty, l->id, c->token, doc_int(&l->doc, "wake", 0), c->now_ms);
            e = ERR_OK;
        }
    }
    db_end(&f);
    enum err let_go = outbox_release_run(m, &empty);
    /* Events that were read can be tried; lanes that were not read become due when the lease ends.
     */
    return c->len ? ERR_OK : e ? e : let_go;
}

enum err mongo_outbox_claim(struct store *s, struct outbox_claim *c)
{
    struct mongo *m = mongo_of(s);
    struct lane lanes[OUTBOX_CLAIM_MAX];
    size_t n, limit = c->limit < OUTBOX_CLAIM_MAX ? c->limit : OUTBOX_CLAIM_MAX;
    struct db_found f;

    c->len = 0;
    c->more = false;
    c->limit = limit;
    enum err e = (c->lane ? find_free : find_due)(m, c, &f);
    if (e)
        return e;
    size_t found = choose(c, &f, lanes, &n);
    c->more = found == 2 * limit || found > n;
    if (n)
        e = take(m, c, lanes, n);
    if (n && !e)
        e = read_heads(m, c, lanes, n);
    for (size_t i = 0; i < n; i++)
        free(lanes[i].id);
    db_end(&f);
    return e;
}
