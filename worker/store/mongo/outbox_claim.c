/* The outbox: hands due lanes to a dispatcher. */
#include "worker/store/mongo/outbox.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* A claimed lane, as read. */
struct lane {
    bson_t doc; /* a view of what was found */
    char *id;
    bool won;
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

/* Another dispatcher took some of them: finds out which are ours. */
static enum err find_won(struct mongo *m, const char *token, struct lane *lanes, size_t n)
{
    bson_t ids = BSON_INITIALIZER;
    struct db_found f;

    for (size_t i = 0; i < n; i++)
        doc_put_at(&ids, i, v_str(lanes[i].id));
    enum err e = DB_FIND(m, &f, .collection = LANES,
                         .filter = doc_of("_id: {$in: ?}, token: ?", v_array(&ids), v_str(token)),
                         .limit = (int)n);
    bson_destroy(&ids);
    while (!e && db_next(&f))
        for (size_t i = 0; i < n; i++)
            if (doc_text_is(&f.doc, "_id", lanes[i].id))
                lanes[i].won = true;
    db_end(&f);
    return e;
}

static enum err take(struct mongo *m, const struct outbox_claim *c, struct lane *lanes, size_t n)
{
    struct db_batch b;
    struct db_done done;

    outbox_batch(&b, LANES);
    b.light = true;
    for (size_t i = 0; i < n; i++)
        DB_ADD_UPDATE(
            &b,
            .filter = doc_of("_id: ?, due_at: ?, token: ?", v_str(lanes[i].id),
                             v_field(&lanes[i].doc, "due_at"), v_field(&lanes[i].doc, "token")),
            .update =
                doc_of("$set: {due_at: ?, token: ?}", v_date(c->lease_end_ms), v_str(c->token)));
    enum err e = db_run(m, &b, &done);
    if (!e && done.matched < (int64_t)n)
        return find_won(m, c->token, lanes, n);
    for (size_t i = 0; i < n; i++)
        lanes[i].won = !e;
    return e;
}

/* Reads the head of a lane. ERR_NOT_FOUND: it has no pending event. */
static enum err read_head(struct mongo *m, const struct lane *l, struct outbox_event *ret)
{
    struct db_query q = {.collection = OUTBOX,
                         .filter = doc_of("state: 'pending', lane: ?", v_str(l->id)),
                         .index = IX_LANE,
                         .in_order = true,
                         .limit = 2};
    struct db_found f;
    enum err e = db_find(m, &q, &f);

    if (e)
        return e;
    if (db_next(&f)) {
        *ret = (struct outbox_event){.since_ms = doc_date(&f.doc, "at"),
                                     .tries = doc_int(&f.doc, "tries", 0),
                                     .wake = doc_int(&l->doc, "wake", 0),
                                     .lane = mem_strdup(l->id),
                                     .job_id = doc_dup(&f.doc, "job_id"),
                                     .receiver = doc_dup(&f.doc, "receiver"),
                                     .url = doc_dup(&f.doc, "url"),
                                     .body = doc_dup(&f.doc, "body"),
                                     .body_len = doc_text(&f.doc, "body").len};
        doc_copy(&f.doc, "_id", ret->id, sizeof ret->id);
        ret->more = db_next(&f);
    } else {
        e = ERR_NOT_FOUND;
    }
    db_end(&f);
    return e;
}

/* Fills the claim with the heads of the won lanes; releases empty ones. */
static enum err read_heads(struct mongo *m, struct outbox_claim *c, struct lane *lanes, size_t n)
{
    struct outbox_release empty;
    enum err e = ERR_OK;

    outbox_release_init(&empty);
    for (size_t i = 0; !e && i < n; i++) {
        if (!lanes[i].won)
            continue;
        e = read_head(m, &lanes[i], &c->events[c->len]);
        if (!e)
            snprintf(c->events[c->len++].token, OUTBOX_TOKEN_SIZE, "%s", c->token);
        if (e == ERR_NOT_FOUND) {
            outbox_release_empty(&empty, lanes[i].id, c->token, doc_int(&lanes[i].doc, "wake", 0),
                                 c->now_ms);
            e = ERR_OK;
        }
    }
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
    c->more = found == 2 * limit || (n == limit && found > n);
    if (n)
        e = take(m, c, lanes, n);
    if (n && !e)
        e = read_heads(m, c, lanes, n);
    for (size_t i = 0; i < n; i++)
        free(lanes[i].id);
    db_end(&f);
    return e;
}
