/* Secrets over time: those that jobs have, those of removed clients, a walk through all. Jobs with
 * secrets of single use are in secret_claims, {_id: job id, client_id, at}. */
#include "worker/store/mongo/secrets.h"

#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/secrets/names.h"

#include <stdlib.h>
#include <string.h>

/* A claim that was noted so recently may not be stored yet. */
#define YOUNG_MS 2000

/* Secrets in one batch of a walk. */
#define WALK_MAX 256

enum err secrets_drop_client(struct mongo *m, struct text client)
{
    char collection[SECRETS_COLLECTION_SIZE];

    if (secrets_collection(m, client, collection))
        return ERR_OK; /* it has none */
    return db_delete(m, collection, secrets_of_client(client), true, NULL);
}

/* Whether the job still needs its secrets: its claim may come again. */
static enum err is_open(struct mongo *m, struct text job_id, bool *ret)
{
    struct db_found f;
    enum err e =
        DB_FIND(m, &f, .collection = JOBS, .filter = doc_of("job_id: ?", v_text(job_id)),
                .fields = STATE_PATH ": true, claim.open: true", .index = IX_JOB_ID, .limit = 8);

    *ret = false;
    while (!e && db_next(&f))
        *ret = *ret || doc_text_is(&f.doc, STATE_PATH, "waiting") || doc_bool(&f.doc, "claim.open");
    db_end(&f);
    return e;
}

/* Removes the secrets that a job has of a client. */
static enum err drop_claimed(struct mongo *m, struct text client, struct text job_id)
{
    char collection[SECRETS_COLLECTION_SIZE];

    if (!client.s || secrets_collection(m, client, collection))
        return ERR_OK; /* it has none */
    return db_delete(m, collection, doc_of("claimed_by: ?", v_text(job_id)), true, NULL);
}

enum err secrets_drop_claimed(struct mongo *m, struct text job_id, const json_t *data)
{
    json_t *secrets = json_object_get(json_object_get(data, "test_data"), "secrets");

    if (json_object_size(secrets) == 0)
        return ERR_OK;
    return drop_claimed(m, json_string_text(json_object_get(data, "client_id")), job_id);
}

/* Removes the secrets of a job that has them, and its note. */
static enum err end(struct mongo *m, const bson_t *note)
{
    struct text job_id = doc_text(note, "_id");
    enum err e = drop_claimed(m, doc_text(note, "client_id"), job_id);

    return e ? e
             : db_delete(m, SECRET_CLAIMS,
                         doc_of("_id: ?, at: ?", v_text(job_id), v_field(note, "at")), false, NULL);
}

/* Puts the notes of jobs that are open behind the others, which a full batch of them would hide. */
static enum err put_behind(struct mongo *m, const struct text *job_ids, size_t n)
{
    return DB_UPDATE(m, SECRET_CLAIMS, NULL, .filter = doc_of("_id: {$in: ?}", v_texts(job_ids, n)),
                     .update = doc_of("$set: {at: ?}", v_date(mongo_now_ms(m))), .all = true);
}

enum err mongo_secrets_sweep(struct store *s, bool *ret_more)
{
    struct mongo *m = mongo_of(s);
    struct text kept[SWEEP_MAX];
    size_t n = 0, n_kept = 0;
    struct db_found f;
    enum err e = DB_FIND(m, &f, .collection = SECRET_CLAIMS,
                         .filter = doc_of("at: {$lt: ?}", v_date(mongo_now_ms(m) - YOUNG_MS)),
                         .sort = "at: 1", .index = IX_SECRET_CLAIM, .limit = SWEEP_MAX);

    for (; !e && db_next(&f); n++) {
        struct text job_id = doc_text(&f.doc, "_id");
        bool open = false;
        e = job_id.s ? is_open(m, job_id, &open) : ERR_OK;
        if (!e && open)
            kept[n_kept++] = job_id;
        else if (!e)
            e = end(m, &f.doc);
    }
    if (!e && n_kept)
        e = put_behind(m, kept, n_kept);
    db_end(&f);
    *ret_more = !e && n == SWEEP_MAX && n_kept < n;
    return e;
}

/* Gives a batch of a collection's secrets to `take`; *last becomes the name of the last one, owned
 * by the caller. ERR_NOT_FOUND: there are no more. */
static enum err walk_some(struct mongo *m, const char *collection, char **last,
                          secret_take_fn *take, void *arg)
{
    const char *named = collection + strlen(SECRET_COLLECTIONS);
    struct db_found f;
    size_t n = 0;
    enum err e =
        DB_FIND(m, &f, .collection = collection, .filter = doc_of("key: {$gt: ?}", v_str(*last)),
                .sort = "key: 1", .limit = WALK_MAX);

    for (; !e && db_next(&f); n++) {
        struct text name = doc_text(&f.doc, "key"), path = secret_path_of(name);
        struct text client = doc_text(&f.doc, "client_id");
        const struct secret_shown shown = {.client = client.s ? client
                                                              : (struct text){named, strlen(named)},
                                           .path = path,
                                           .claimed = path.len != name.len,
                                           .single_use = doc_bool(&f.doc, "ephemeral"),
                                           .expires_ms = doc_date(&f.doc, "expire_at"),
                                           .updated_ms = doc_date(&f.doc, "updated_at"),
                                           .readable = secret_is_readable(m, &f.doc)};
        take(arg, &shown);
        free(*last);
        *last = doc_dup(&f.doc, "key");
    }
    db_end(&f);
    return e ? e : n ? ERR_OK : ERR_NOT_FOUND;
}

static enum err walk_collection(struct mongo *m, const char *collection, secret_take_fn *take,
                                void *arg)
{
    char *last = mem_strdup("");
    enum err e;

    while (!(e = walk_some(m, collection, &last, take, arg)))
        ;
    free(last);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err mongo_secrets_walk(struct store *s, secret_take_fn *take, void *arg)
{
    struct mongo *m = mongo_of(s);
    bson_t reply;
    bson_iter_t list;
    enum err e =
        db_read(m,
                doc_of("listCollections: 1, nameOnly: true, cursor: {batchSize: 100000}, "
                       "filter: {name: {$gte: '" SECRET_COLLECTIONS "', $lt: 'secrets/'}}"),
                &reply);

    if (e)
        return e;
    if (doc_list(&reply, "cursor.firstBatch", &list))
        while (!e && bson_iter_next(&list)) {
            bson_t one;
            const char *name = doc_view(&list, &one) ? doc_str(&one, "name") : NULL;
            if (name)
                e = walk_collection(m, name, take, arg);
        }
    bson_destroy(&reply);
    return e;
}
