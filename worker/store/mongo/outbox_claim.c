/* The outbox: lanes that are due go to a dispatcher. */
#include "worker/store/mongo/outbox.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A lane that is claimed, as it was read. */
struct lane {
    bson_t doc; /* in the reply */
    char *id;
    bool won;
};

/* A lane that nobody has, or had until now. */
static enum err find_free(struct mongo *m, const struct outbox_claim *c, bson_t *ret_reply,
                          bson_iter_t *ret_batch)
{
    bson_t filter = BSON_INITIALIZER, list, either, due;
    struct mongo_query q = {.collection = LANES, .filter = &filter, .limit = 1};

    BSON_APPEND_UTF8(&filter, "_id", c->lane);
    BSON_APPEND_ARRAY_BEGIN(&filter, "$or", &list);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &either);
    BSON_APPEND_NULL(&either, "token");
    bson_append_document_end(&list, &either);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "1", &either);
    BSON_APPEND_DOCUMENT_BEGIN(&either, "due_at", &due);
    BSON_APPEND_DATE_TIME(&due, "$lte", c->now_ms);
    bson_append_document_end(&either, &due);
    bson_append_document_end(&list, &either);
    bson_append_array_end(&filter, &list);
    enum err e = mongo_find(m, &q, ret_reply, ret_batch);
    bson_destroy(&filter);
    return e;
}

static enum err find_due(struct mongo *m, const struct outbox_claim *c, bson_t *ret_reply,
                         bson_iter_t *ret_batch)
{
    bson_t filter = BSON_INITIALIZER, child, list;
    struct mongo_query q = {.collection = LANES,
                            .filter = &filter,
                            .sort = m->fixed.by_due,
                            .hint = m->fixed.by_due,
                            .limit = 2 * (int)c->limit};
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "due_at", &child);
    BSON_APPEND_DATE_TIME(&child, "$lte", c->now_ms);
    bson_append_document_end(&filter, &child);
    if (c->exclude_len) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, "receiver", &child);
        BSON_APPEND_ARRAY_BEGIN(&child, "$nin", &list);
        for (size_t i = 0; i < c->exclude_len; i++)
            BSON_APPEND_UTF8(&list, mongo_index(i, key), c->exclude[i]);
        bson_append_array_end(&child, &list);
        bson_append_document_end(&filter, &child);
    }
    enum err e = mongo_find(m, &q, ret_reply, ret_batch);
    bson_destroy(&filter);
    return e;
}

/* Chooses lanes of the batch; the number of documents in it. */
static size_t choose(const struct outbox_claim *c, bson_iter_t *batch,
                     struct lane lanes[OUTBOX_CLAIM_MAX], size_t *ret_n)
{
    size_t found = 0;
    bson_t doc;

    *ret_n = 0;
    for (; mongo_next(batch, &doc); found++) {
        bson_iter_t it;
        if (*ret_n == c->limit || !bson_iter_init_find(&it, &doc, "receiver") ||
            !BSON_ITER_HOLDS_UTF8(&it) || !c->accept(c->arg, bson_iter_utf8(&it, NULL)))
            continue;
        struct lane *l = &lanes[(*ret_n)++];
        *l = (struct lane){.id = outbox_text(&doc, "_id", NULL)};
        bson_init_static(&l->doc, bson_get_data(&doc), doc.len);
    }
    return found;
}

static void append_take(bson_t *updates, size_t index, const struct lane *l,
                        const struct outbox_claim *c)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    struct mongo_change change = {.filter = &filter, .update = &update};

    BSON_APPEND_UTF8(&filter, "_id", l->id);
    mongo_append_as_read(&filter, "due_at", &l->doc, "due_at");
    mongo_append_as_read(&filter, "token", &l->doc, "token");
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_DATE_TIME(&set, "due_at", c->lease_end_ms);
    BSON_APPEND_UTF8(&set, "token", c->token);
    bson_append_document_end(&update, &set);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

/* Some were taken by another dispatcher: finds out which are ours. */
static enum err find_won(struct mongo *m, const char *token, struct lane *lanes, size_t n)
{
    bson_t filter = BSON_INITIALIZER, child, list, reply, doc;
    struct mongo_query q = {.collection = LANES, .filter = &filter, .limit = (int)n};
    bson_iter_t batch;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
    for (size_t i = 0; i < n; i++)
        BSON_APPEND_UTF8(&list, mongo_index(i, key), lanes[i].id);
    bson_append_array_end(&child, &list);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_UTF8(&filter, "token", token);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    while (mongo_next(&batch, &doc))
        for (size_t i = 0; i < n; i++)
            if (outbox_text_is(&doc, "_id", lanes[i].id))
                lanes[i].won = true;
    bson_destroy(&reply);
    return ERR_OK;
}

static enum err take(struct mongo *m, const struct outbox_claim *c, struct lane *lanes, size_t n)
{
    bson_t command = BSON_INITIALIZER, updates = BSON_INITIALIZER;
    struct mongo_changed done;

    for (size_t i = 0; i < n; i++)
        append_take(&updates, i, &lanes[i], c);
    outbox_command(&command, LANES, &updates);
    enum err e = mongo_write_all(m, &command, m->fixed.light, &done);
    bson_destroy(&updates);
    bson_destroy(&command);
    if (!e && done.matched < (int64_t)n)
        return find_won(m, c->token, lanes, n);
    for (size_t i = 0; i < n; i++)
        lanes[i].won = !e;
    return e;
}

/* Reads the head of a lane. ERR_NOT_FOUND: nothing of it is pending. */
static enum err read_head(struct mongo *m, const struct lane *l, struct outbox_event *ret)
{
    bson_t filter = BSON_INITIALIZER, reply, doc, next;
    struct mongo_query q = {.collection = OUTBOX,
                            .filter = &filter,
                            .sort = m->fixed.by_lane,
                            .hint = m->fixed.by_lane,
                            .limit = 2};
    bson_iter_t batch;

    BSON_APPEND_UTF8(&filter, "state", PENDING);
    BSON_APPEND_UTF8(&filter, "lane", l->id);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    if (mongo_next(&batch, &doc)) {
        char *id = outbox_text(&doc, "_id", NULL);
        *ret = (struct outbox_event){.since_ms = mongo_date(&doc, "at"),
                                     .tries = outbox_int(&doc, "tries"),
                                     .wake = outbox_int(&l->doc, "wake"),
                                     .more = mongo_next(&batch, &next)};
        snprintf(ret->id, sizeof ret->id, "%s", id);
        free(id);
        ret->lane = mem_strdup(l->id);
        ret->job_id = outbox_text(&doc, "job_id", NULL);
        ret->receiver = outbox_text(&doc, "receiver", NULL);
        ret->url = outbox_text(&doc, "url", NULL);
        ret->body = outbox_text(&doc, "body", &ret->body_len);
    } else {
        e = ERR_NOT_FOUND;
    }
    bson_destroy(&reply);
    return e;
}

/* Fills the claim with the heads of the lanes that were won; lets go of those that are empty. */
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
            outbox_release_empty(&empty, lanes[i].id, c->token, outbox_int(&lanes[i].doc, "wake"),
                                 c->now_ms);
            e = ERR_OK;
        }
    }
    enum err let_go = outbox_release_run(m, &empty);
    /* What was read can be tried; lanes that were not read become due when the lease ends. */
    return c->len ? ERR_OK : e ? e : let_go;
}

enum err mongo_outbox_claim(struct store *s, struct outbox_claim *c)
{
    struct mongo *m = mongo_of(s);
    struct lane lanes[OUTBOX_CLAIM_MAX];
    size_t n, limit = c->limit < OUTBOX_CLAIM_MAX ? c->limit : OUTBOX_CLAIM_MAX;
    bson_iter_t batch;
    bson_t reply;

    c->len = 0;
    c->more = false;
    c->limit = limit;
    enum err e = (c->lane ? find_free : find_due)(m, c, &reply, &batch);
    if (e)
        return e;
    size_t found = choose(c, &batch, lanes, &n);
    c->more = found == 2 * limit || (n == limit && found > n);
    if (n)
        e = take(m, c, lanes, n);
    if (n && !e)
        e = read_heads(m, c, lanes, n);
    for (size_t i = 0; i < n; i++)
        free(lanes[i].id);
    bson_destroy(&reply);
    return e;
}
