/* Keys of submissions: documents {_id: key, body, job_id, received, at}. */
#include "worker/store/mongo/db.h"

#include <stdio.h>
#include <string.h>

#define TRIES_MAX 8

/* Stores the key unless it exists and is young: ERR_CONFLICT. */
static enum err put(struct mongo *m, const struct submit_key *k, int64_t before_ms)
{
    return DB_UPDATE(
        m, KEYS, NULL, .filter = doc_of("_id: ?, at: {$lt: ?}", v_str(k->key), v_date(before_ms)),
        .update = doc_of("$set: {body: ?, job_id: ?, received: ?, at: ?}", v_str(k->body),
                         v_str(k->job_id), v_int64(k->received_us), v_date(mongo_now_ms(m))),
        .upsert = true);
}

/* The submission that came first with the key. ERR_NOT_FOUND: it expired meanwhile. */
static enum err find(struct mongo *m, struct submit_key *k)
{
    struct db_found f;
    enum err e = db_get(m, KEYS, doc_of("_id: ?", v_str(k->key)), NULL, &f);

    if (e)
        return e;
    const char *body = doc_str(&f.doc, "body"), *job_id = doc_str(&f.doc, "job_id");
    int64_t received = doc_int(&f.doc, "received", -1);
    if (!body || !job_id || received < 0) {
        e = ERR_NOT_FOUND;
    } else if (strcmp(body, k->body) != 0) {
        e = ERR_CONFLICT;
    } else {
        snprintf(k->job_id, sizeof k->job_id, "%s", job_id);
        k->received_us = received;
        k->again = true;
    }
    db_end(&f);
    return e;
}

static enum err put_or_find(struct mongo *m, struct submit_key *k, int64_t before_ms)
{
    enum err e = ERR_NOT_FOUND;

    for (int i = 0; e == ERR_NOT_FOUND && i < TRIES_MAX; i++) {
        e = put(m, k, before_ms);
        if (e == ERR_CONFLICT)
            e = find(m, k);
    }
    return e == ERR_NOT_FOUND ? ERR_UNAVAILABLE : e;
}

enum err mongo_submit_keys(struct store *s, struct submit_key *keys, size_t n, int64_t before_ms)
{
    for (size_t i = 0; i < n; i++) {
        keys[i].again = false;
        keys[i].err = put_or_find(mongo_of(s), &keys[i], before_ms);
    }
    return ERR_OK;
}
