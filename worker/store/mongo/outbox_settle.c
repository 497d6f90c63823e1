/* The outbox: what became of events that were claimed. */
#include "worker/store/mongo/outbox.h"

#include "common/mem.h"

#include <string.h>

static void append_answer(bson_t *set, const struct outbox_settle *o)
{
    size_t len = o->answer.len < OUTBOX_ANSWER_MAX ? o->answer.len : OUTBOX_ANSWER_MAX;

    BSON_APPEND_INT32(set, "status", o->status);
    BSON_APPEND_BINARY(set, "answer", BSON_SUBTYPE_BINARY,
                       (const uint8_t *)(len ? o->answer.s : ""), (uint32_t)len);
    if (o->outcome != OUTBOX_DONE)
        BSON_APPEND_UTF8(set, "reason", o->reason);
    if (o->outcome != OUTBOX_RETRY) {
        BSON_APPEND_UTF8(set, "state", o->outcome == OUTBOX_DONE ? DELIVERED : DEAD);
        BSON_APPEND_DATE_TIME(set, "at", o->now_ms);
    }
}

/* What a receiver has is delivered, whoever had the lane meanwhile; all else concerns an event that
 * is still pending. */
static void append_outcome(bson_t *updates, size_t index, const struct outbox_settle *o)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = &filter, .update = &update};

    BSON_APPEND_UTF8(&filter, "_id", o->event->id);
    if (o->outcome != OUTBOX_DONE)
        BSON_APPEND_UTF8(&filter, "state", PENDING);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    append_answer(&child, o);
    bson_append_document_end(&update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$inc", &child);
    BSON_APPEND_INT32(&child, "tries", 1);
    bson_append_document_end(&update, &child);
    if (o->outcome == OUTBOX_DONE) {
        BSON_APPEND_DOCUMENT_BEGIN(&update, "$unset", &child);
        BSON_APPEND_UTF8(&child, "body", "");
        BSON_APPEND_UTF8(&child, "reason", "");
        bson_append_document_end(&update, &child);
    }
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

static enum err settle_some(struct mongo *m, const struct outbox_settle *events, size_t n)
{
    bson_t updates = BSON_INITIALIZER;
    struct outbox_release release;
    size_t tried = 0;
    enum err e = ERR_OK;

    outbox_release_init(&release);
    for (size_t i = 0; i < n; i++) {
        const struct outbox_settle *o = &events[i];
        const struct outbox_event *ev = o->event;
        bool gone = o->outcome == OUTBOX_DONE || o->outcome == OUTBOX_GIVE_UP;
        if (o->outcome != OUTBOX_PUT_BACK)
            append_outcome(&updates, tried++, o);
        if (gone && !ev->more)
            outbox_release_empty(&release, ev->lane, ev->token, ev->wake, o->now_ms);
        else
            outbox_release_until(&release, ev->lane, ev->token, gone ? o->now_ms : o->due_ms);
    }
    if (tried)
        e = outbox_run(m, "update", OUTBOX, "updates", &updates, NULL);
    bson_destroy(&updates);
    enum err let_go = ERR_OK;
    if (!e) {
        let_go = outbox_release_run(m, &release);
    } else { /* the event comes first: without it the lane stays until its lease ends */
        bson_destroy(&release.drop);
        bson_destroy(&release.release);
    }
    return e ? e : let_go;
}

enum err mongo_outbox_settle(struct store *s, const struct outbox_settle *events, size_t n)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < n; i += OUTBOX_CLAIM_MAX)
        e = settle_some(mongo_of(s), events + i,
                        n - i < OUTBOX_CLAIM_MAX ? n - i : OUTBOX_CLAIM_MAX);
    return e;
}
