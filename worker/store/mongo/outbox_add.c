/* The outbox: events that come. */
#include "worker/store/mongo/outbox.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The events of one call that are still to be stored. */
struct incoming {
    struct outbox_add *events;
    size_t len;
    bool revive[OUTBOX_CLAIM_MAX]; /* a dead one becomes pending again */
    bool known[OUTBOX_CLAIM_MAX];  /* nothing is to be written but its lane */
};

static void append_list(bson_t *filter, const char *field, const struct incoming *in, size_t member)
{
    bson_t child, list;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(filter, field, &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
    for (size_t i = 0; i < in->len; i++)
        BSON_APPEND_UTF8(&list, mongo_index(i, key),
                         *(const char *const *)((const char *)&in->events[i] + member));
    bson_append_array_end(&child, &list);
    bson_append_document_end(filter, &child);
}

static void know(struct outbox_add *a, const bson_t *doc)
{
    bson_iter_t it;

    if (bson_iter_init_find(&it, doc, "_id") && BSON_ITER_HOLDS_UTF8(&it))
        snprintf(a->stored_id, sizeof a->stored_id, "%s", bson_iter_utf8(&it, NULL));
    a->state = outbox_text_is(doc, "state", PENDING) ? OUTBOX_PENDING
               : outbox_text_is(doc, "state", DEAD)  ? OUTBOX_DEAD
                                                     : OUTBOX_DELIVERED;
}

/* Repeats of requests that were carried out. */
static enum err find_repeats(struct mongo *m, struct incoming *in)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, doc;
    struct mongo_query q = {
        .collection = OUTBOX, .filter = &filter, .projection = &projection, .limit = (int)in->len};
    bson_iter_t batch;
    bool any = false;

    for (size_t i = 0; i < in->len; i++)
        any = any || in->events[i].repeat;
    if (!any)
        return ERR_OK;
    append_list(&filter, "_id", in, offsetof(struct outbox_add, id));
    BSON_APPEND_BOOL(&projection, "state", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    while (mongo_next(&batch, &doc))
        for (size_t i = 0; i < in->len; i++)
            if (outbox_text_is(&doc, "_id", in->events[i].id)) {
                in->known[i] = true;
                know(&in->events[i], &doc);
            }
    bson_destroy(&reply);
    return ERR_OK;
}

/* Notes that event i is the one of `doc`, if its content is the same. */
static void same_content(struct incoming *in, size_t i, const bson_t *doc)
{
    struct outbox_add *a = &in->events[i];

    if (in->known[i] || in->revive[i] || !outbox_text_is(doc, "lane", a->lane) ||
        !outbox_text_is(doc, "url", a->url) || !outbox_text_is(doc, "body", a->body))
        return;
    know(a, doc);
    in->revive[i] = a->state == OUTBOX_DEAD;
    in->known[i] = !in->revive[i];
    a->state = OUTBOX_PENDING;
}

/* Events that are there already, with the same content and without a receiver that has them. */
static enum err find_same(struct mongo *m, struct incoming *in)
{
    bson_t filter = BSON_INITIALIZER, child, list, reply, doc;
    struct mongo_query q = {.collection = OUTBOX,
                            .filter = &filter,
                            .hint = m->fixed.by_lane,
                            .limit = 2 * (int)in->len};
    bson_iter_t batch;

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "state", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
    BSON_APPEND_UTF8(&list, "0", PENDING);
    BSON_APPEND_UTF8(&list, "1", DEAD);
    bson_append_array_end(&child, &list);
    bson_append_document_end(&filter, &child);
    append_list(&filter, "lane", in, offsetof(struct outbox_add, lane));
    append_list(&filter, "body", in, offsetof(struct outbox_add, body));
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    while (mongo_next(&batch, &doc))
        for (size_t i = 0; i < in->len; i++)
            same_content(in, i, &doc);
    bson_destroy(&reply);
    return ERR_OK;
}

/* The same content twice in one call: the first one stands for both. */
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

/* [{$replaceWith: {$mergeObjects: [{$literal: fields}, {times of the server}, "$$ROOT"]}}]: what is
 * there already wins, so a repeat changes nothing. */
static void append_new(bson_t *updates, size_t index, const struct outbox_add *a)
{
    bson_t filter = BSON_INITIALIZER, pipeline = BSON_INITIALIZER, stage, merge, list, part, fields;
    struct mongo_change change = {
        .filter = &filter, .update = &pipeline, .pipeline = true, .upsert = true};

    BSON_APPEND_UTF8(&filter, "_id", a->id);
    BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$replaceWith", &merge);
    BSON_APPEND_ARRAY_BEGIN(&merge, "$mergeObjects", &list);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &part);
    BSON_APPEND_DOCUMENT_BEGIN(&part, "$literal", &fields);
    BSON_APPEND_UTF8(&fields, "job_id", a->job_id);
    BSON_APPEND_UTF8(&fields, "lane", a->lane);
    BSON_APPEND_UTF8(&fields, "receiver", a->receiver);
    BSON_APPEND_UTF8(&fields, "url", a->url);
    BSON_APPEND_UTF8(&fields, "body", a->body);
    BSON_APPEND_UTF8(&fields, "state", PENDING);
    BSON_APPEND_INT32(&fields, "order", (int32_t)index);
    BSON_APPEND_INT32(&fields, "tries", 0);
    bson_append_document_end(&part, &fields);
    bson_append_document_end(&list, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "1", &part);
    BSON_APPEND_UTF8(&part, "created_at", "$$NOW");
    BSON_APPEND_UTF8(&part, "at", "$$NOW");
    bson_append_document_end(&list, &part);
    BSON_APPEND_UTF8(&list, "2", "$$ROOT");
    bson_append_array_end(&merge, &list);
    bson_append_document_end(&stage, &merge);
    bson_append_document_end(&pipeline, &stage);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&pipeline);
}

static void append_revival(bson_t *updates, size_t index, const struct outbox_add *a)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    struct mongo_change change = {.filter = &filter, .update = &update};

    BSON_APPEND_UTF8(&filter, "_id", a->stored_id);
    BSON_APPEND_UTF8(&filter, "state", DEAD);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_UTF8(&set, "state", PENDING);
    BSON_APPEND_INT32(&set, "tries", 0);
    BSON_APPEND_DATE_TIME(&set, "at", a->now_ms);
    bson_append_document_end(&update, &set);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

/* Takes the write errors of a command whose statement k is of event members[k]. */
static void take_errors(struct incoming *in, const size_t *members, size_t n, const bson_t *reply)
{
    bson_iter_t at, errors, it;
    bson_t error;

    if (!bson_iter_init_find(&at, reply, "writeErrors") || !bson_iter_recurse(&at, &errors))
        return;
    while (mongo_next(&errors, &error)) {
        int64_t k = mongo_field(&error, "index", &it) ? bson_iter_as_int64(&it) : -1;
        int code = mongo_field(&error, "code", &it) ? (int)bson_iter_as_int64(&it) : 0;
        enum err e = mongo_code_err(code);
        if (e == ERR_CONFLICT || k < 0 || (size_t)k >= n)
            continue; /* a repeat that another process carried out at the same moment */
        if (e != ERR_TOO_LARGE)
            log_error("a webhook event was not stored (code %d); see the server's log", code);
        in->events[members[k]].err = e;
    }
}

static enum err put_events(struct mongo *m, struct incoming *in)
{
    bson_t command = BSON_INITIALIZER, updates = BSON_INITIALIZER, reply;
    size_t members[OUTBOX_CLAIM_MAX], n = 0;
    enum err e = ERR_OK;

    for (size_t i = 0; i < in->len; i++) {
        if (in->known[i])
            continue;
        if (in->revive[i])
            append_revival(&updates, n, &in->events[i]);
        else
            append_new(&updates, n, &in->events[i]);
        members[n++] = i;
    }
    if (n) {
        outbox_command(&command, OUTBOX, &updates);
        e = mongo_write(m, &command, &reply);
    }
    if (n && !e) {
        take_errors(in, members, n, &reply);
        bson_destroy(&reply);
    }
    bson_destroy(&updates);
    bson_destroy(&command);
    return e;
}

/* Notes the lanes that the command made. Statement k is of event members[k]. */
static void take_claims(struct incoming *in, const size_t *members, size_t n, const bson_t *reply)
{
    bson_iter_t at, upserted, it;
    bson_t made;

    if (!bson_iter_init_find(&at, reply, "upserted") || !bson_iter_recurse(&at, &upserted))
        return;
    while (mongo_next(&upserted, &made)) {
        int64_t k = mongo_field(&made, "index", &it) ? bson_iter_as_int64(&it) : -1;
        if (k >= 0 && (size_t)k < n)
            in->events[members[k]].claimed = in->events[members[k]].token != NULL;
    }
}

static enum err put_lanes(struct mongo *m, struct incoming *in)
{
    bson_t updates = BSON_INITIALIZER, reply;
    size_t members[OUTBOX_CLAIM_MAX], n = 0;
    enum err e = ERR_OK;

    for (size_t i = 0; i < in->len; i++) {
        const struct outbox_add *a = &in->events[i];
        if (a->err || a->state != OUTBOX_PENDING)
            continue;
        outbox_wake_append(&updates, n, a->lane, a->receiver, a->token,
                           a->token ? a->lease_end_ms : a->now_ms);
        members[n++] = i;
    }
    if (n)
        e = outbox_wake(m, &updates, &reply);
    if (e == ERR_CONFLICT)
        e = outbox_wake(m, &updates, &reply);
    if (n && !e) {
        take_claims(in, members, n, &reply);
        bson_destroy(&reply);
    }
    bson_destroy(&updates);
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
    enum err e = find_repeats(m, &in);
    if (!e)
        e = find_same(m, &in);
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
