/* Failed logins and the signing key. */
#include "worker/store/mongo/auth.h"

#include "common/log.h"
#include "worker/store/mongo/db.h"

#include <string.h>

static void count_of(const bson_t *doc, int64_t now_ms, struct login_count *ret)
{
    ret->until_ms = doc_date(doc, "until");
    ret->count = ret->until_ms > now_ms ? doc_int(doc, "count", 0) : 0;
}

enum err mongo_login_counts(struct store *s, struct login_count *counts, size_t n, int64_t now_ms)
{
    bson_t keys = BSON_INITIALIZER;
    struct db_found f;

    for (size_t i = 0; i < n; i++)
        doc_put_at(&keys, i, v_str(counts[i].key));
    enum err e = DB_FIND(mongo_of(s), &f, .collection = LOGIN_FAILURES,
                         .filter = doc_of("_id: {$in: ?}", v_array(&keys)), .limit = (int)n);
    bson_destroy(&keys);
    for (size_t i = 0; !e && i < n; i++)
        counts[i].count = counts[i].until_ms = 0;
    while (!e && db_next(&f))
        for (size_t i = 0; i < n; i++)
            if (doc_text_is(&f.doc, "_id", counts[i].key))
                count_of(&f.doc, now_ms, &counts[i]);
    db_end(&f);
    return e;
}

enum err mongo_login_failed(struct store *s, struct login_count *count, int64_t now_ms,
                            int64_t window_ms)
{
    int64_t until_ms = now_ms + window_ms;
    bson_t *lasts = doc_of("$and: [{$gt: ['$until', ?]}, {$lte: ['$until', ?]}]", v_date(now_ms),
                           v_date(until_ms));
    /* Within the window the count grows; else both start again */
    struct db_change change = {.filter = doc_of("_id: ?", v_str(count->key)),
                               .update =
                                   doc_of("[{$set: {count: {$cond: [?, {$add: ['$count', 1]}, 1]}, "
                                          "until: {$cond: [?, '$until', ?]}}}]",
                                          v_doc(lasts), v_doc(lasts), v_date(until_ms)),
                               .upsert = true,
                               .after = true};
    struct db_found f;

    bson_destroy(lasts);
    enum err e = db_modify(mongo_of(s), LOGIN_FAILURES, &change, &f);
    if (!e)
        count_of(&f.doc, now_ms, count);
    db_end(&f);
    return e;
}

enum err mongo_login_trust(struct store *s, const struct login_count *trust, int64_t now_ms)
{
    (void)now_ms; /* the database removes expired ones */
    return db_upsert(
        mongo_of(s), LOGIN_FAILURES, doc_of("_id: ?", v_str(trust->key)),
        doc_of("$set: {count: ?, until: ?}", v_int64(trust->count), v_date(trust->until_ms)));
}

enum err mongo_login_forget(struct store *s, const char *key)
{
    return db_delete(mongo_of(s), LOGIN_FAILURES, doc_of("_id: ?", v_str(key)), false, NULL);
}

/* ---- the signing key ---- */

enum err mongo_signing_key(struct store *s, const char *proposed, char out[SIGNING_KEY_SIZE])
{
    struct db_change change = {.filter = doc_of("_id: 'jwt'"),
                               .update = doc_of("$setOnInsert: {key: ?, created_at: ?}",
                                                v_str(proposed), v_date(mongo_now_ms(mongo_of(s)))),
                               .upsert = true,
                               .after = true};
    struct db_found f;
    enum err e = db_modify(mongo_of(s), SIGNING_KEYS, &change, &f);

    if (e)
        return e;
    struct text key = doc_text(&f.doc, "key");
    if (key.len + 1 == SIGNING_KEY_SIZE) {
        memcpy(out, key.s, SIGNING_KEY_SIZE);
    } else {
        log_error("the key in collection %s is damaged; remove its document, or set "
                  "JWT_SIGNING_KEY",
                  SIGNING_KEYS);
        e = ERR_INTERNAL;
    }
    db_end(&f);
    return e;
}
