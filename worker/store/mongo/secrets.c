/* Secrets of clients: {key: path, value, updated_at, ephemeral, expire_at, client_id} in one
 * collection per client, as the reference has them; client_id is ours. Once a job has a secret of
 * single use, its key is JOB_ID:PATH, which the reference does not find. */
#include "worker/store/mongo/secrets.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/secrets/names.h"
#include "worker/store/mongo/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME_MAX 8 /* documents of one path that are looked at; nothing makes them unique */

enum err secrets_collection(struct mongo *m, struct text client, char out[SECRETS_COLLECTION_SIZE])
{
    /* MongoDB's limit is that of DATABASE.COLLECTION. */
    size_t size = SECRETS_COLLECTION_SIZE - strlen(m->database) - 1;

    return secret_collection(client, out, size) ? ERR_OK : ERR_INVALID;
}

bson_t *secrets_of_client(struct text client)
{
    return doc_of("client_id: {$in: [null, ?]}", v_text(client));
}

/* Whether it is another client's, whose id the reference spells in the same way. */
static bool is_foreign(const bson_t *doc, struct text client)
{
    bson_iter_t it;

    return doc_at(doc, "client_id", &it) && !BSON_ITER_HOLDS_NULL(&it) &&
           !(doc_text(doc, "client_id").s && text_equal(doc_text(doc, "client_id"), client));
}

/* Whether it has an end, and that is over. */
static bool has_expired(const bson_t *doc, int64_t now_ms)
{
    bson_iter_t it;

    return doc_at(doc, "expire_at", &it) && doc_date(doc, "expire_at") <= now_ms;
}

/* ---- writes ---- */

/* What stands at a path. */
struct place {
    bool foreign, live;
    size_t n;
};

static enum err look_at(struct mongo *m, const char *collection, const struct secret_put *p,
                        struct place *ret)
{
    struct db_found f;
    enum err e =
        DB_FIND(m, &f, .collection = collection, .filter = doc_of("key: ?", v_text(p->path)),
                .fields = "client_id: true, expire_at: true", .limit = SAME_MAX);

    *ret = (struct place){0};
    for (; !e && db_next(&f); ret->n++) {
        ret->foreign = ret->foreign || is_foreign(&f.doc, p->client);
        ret->live = ret->live || !has_expired(&f.doc, mongo_now_ms(m));
    }
    db_end(&f);
    return e;
}

/* The index by which MongoDB removes what has expired, and that of our reads. */
static enum err make_indexes(struct mongo *m, const char *collection)
{
    bson_t reply;
    enum err e = db_write(m,
                          doc_of("createIndexes: ?, indexes: [{key: {expire_at: 1}, name: "
                                 "'expire_at_1', expireAfterSeconds: 0}, {key: {key: 1}, name: "
                                 "'key_1'}]",
                                 v_str(collection)),
                          &reply);

    if (!e)
        bson_destroy(&reply);
    return e == ERR_CONFLICT ? ERR_OK : e; /* there are some, with other options: let them be */
}

static enum err put(struct mongo *m, const char *collection, const struct secret_put *p,
                    const bson_t *sealed, size_t n)
{
    enum err e = ERR_OK;

    if (n > 1) /* leave one: a reader might take another one */
        e = db_delete(m, collection, doc_of("key: ?", v_text(p->path)), true, NULL);
    return e ? e
             : DB_UPDATE(m, collection, NULL, .filter = doc_of("key: ?", v_text(p->path)),
                         .update = doc_of("key: ?, value: ?, updated_at: ?, ephemeral: ?, "
                                          "expire_at: ?, client_id: ?",
                                          v_text(p->path), v_field(sealed, "value"),
                                          v_date(mongo_now_ms(m)), v_bool(p->single_use),
                                          p->expires_ms ? v_date(p->expires_ms) : v_none(),
                                          v_text(p->client)),
                         .upsert = true);
}

enum err mongo_secret_put(struct store *s, struct secret_put *p)
{
    struct mongo *m = mongo_of(s);
    char collection[SECRETS_COLLECTION_SIZE];
    struct place place;
    bson_value_t sealed = {0};
    enum err e = m->vault ? secrets_collection(m, p->client, collection) : ERR_UNAVAILABLE;

    if (!e)
        e = mongo_vault_encrypt(m->vault, p->value, &sealed);
    if (e)
        return e;
    bson_t doc = BSON_INITIALIZER;
    bson_append_value(&doc, "value", -1, &sealed);
    bson_value_destroy(&sealed);
    e = look_at(m, collection, p, &place);
    if (!e && place.foreign)
        e = ERR_INVALID;
    if (!e)
        e = make_indexes(m, collection);
    if (!e)
        e = put(m, collection, p, &doc, place.n);
    bson_destroy(&doc);
    p->existed = place.live;
    return e;
}

enum err mongo_secret_delete(struct store *s, struct text client, struct text path)
{
    struct mongo *m = mongo_of(s);
    char collection[SECRETS_COLLECTION_SIZE];
    enum err e = secrets_collection(m, client, collection);

    if (e)
        return e;
    size_t size = path.len + sizeof ":$";
    char *claimed = mem_alloc(size);
    snprintf(claimed, size, ":%.*s$", (int)path.len, path.s);
    e = db_delete(m, collection,
                  doc_of("$or: [{key: ?}, {key: {$regex: ?}}], ?", v_text(path), v_str(claimed),
                         v_own(secrets_of_client(client))),
                  true, NULL);
    free(claimed);
    return e;
}

/* ---- reads ---- */

enum err mongo_secrets_look(struct store *s, struct text client, struct secret_look *looks,
                            size_t n)
{
    struct mongo *m = mongo_of(s);
    char collection[SECRETS_COLLECTION_SIZE];
    struct text *paths = mem_alloc((n + 1) * sizeof *paths);
    struct db_found f;

    for (size_t i = 0; i < n; i++) {
        looks[i].found = false;
        paths[i] = looks[i].path;
    }
    if (!n || secrets_collection(m, client, collection)) {
        free(paths);
        return ERR_OK;
    }
    enum err e = DB_FIND(
        m, &f, .collection = collection, .filter = doc_of("key: {$in: ?}", v_texts(paths, n)),
        .fields = "key: true, client_id: true, expire_at: true", .limit = (int)n * SAME_MAX);
    while (!e && db_next(&f))
        for (size_t i = 0; i < n; i++)
            looks[i].found =
                looks[i].found ||
                (doc_text(&f.doc, "key").s && text_equal(doc_text(&f.doc, "key"), paths[i]) &&
                 !is_foreign(&f.doc, client) && !has_expired(&f.doc, mongo_now_ms(m)));
    db_end(&f);
    free(paths);
    return e;
}

/* A path of a job that claims, and the bytes of its document in the answer: a bson_t, which must be
 * aligned, does not go into memory of malloc(). */
struct wanted {
    char *claimed_name;
    const uint8_t *data; /* NULL: not found */
    uint32_t len;
    int64_t updated_ms;
    bool claimed;
    bool twins; /* the path has several documents: two first PUTs at once */
};

/* Takes the document for a path if it is a better one: the job's own, else the newest. */
static void choose(struct wanted *w, struct text path, const bson_t *doc)
{
    struct text key = doc_text(doc, "key");
    bool claimed =
        key.s && text_equal(key, (struct text){w->claimed_name, strlen(w->claimed_name)});

    if (!key.s || (!claimed && !text_equal(key, path)) || (w->claimed && !claimed))
        return;
    w->twins = w->data && w->claimed == claimed;
    if (w->data && w->claimed == claimed && w->updated_ms >= doc_date(doc, "updated_at"))
        return;
    w->data = bson_get_data(doc);
    w->len = doc->len;
    w->updated_ms = doc_date(doc, "updated_at");
    w->claimed = claimed;
}

/* Decrypts the value of a document. */
static enum err open_value(struct mongo *m, const bson_t *doc, char **ret, size_t *ret_len)
{
    bson_iter_t it;

    if (!doc_at(doc, "value", &it) || !BSON_ITER_HOLDS_BINARY(&it))
        return ERR_INVALID;
    const bson_value_t *sealed = bson_iter_value(&it);
    if (sealed->value.v_binary.subtype != BSON_SUBTYPE_ENCRYPTED)
        return ERR_INVALID;
    return mongo_vault_decrypt(m->vault, sealed, ret, ret_len);
}

/* Notes that the job is to have secrets of single use, for the sweep. */
static enum err note_claim(struct mongo *m, const struct secret_take *t)
{
    return db_upsert(
        m, SECRET_CLAIMS, doc_of("_id: ?", v_text(t->job_id)),
        doc_of("$set: {client_id: ?, at: ?}", v_text(t->client), v_date(mongo_now_ms(m))));
}

/* Removes the older documents of the same path: each would be used once more. */
static enum err drop_twins(struct mongo *m, const char *collection, const struct secret_take *t,
                           struct text path, const bson_t *doc)
{
    return db_delete(m, collection,
                     doc_of("key: ?, _id: {$ne: ?}, updated_at: {$lte: ?}, ?", v_text(path),
                            v_field(doc, "_id"), v_date(doc_date(doc, "updated_at")),
                            v_own(secrets_of_client(t->client))),
                     true, NULL);
}

/* Marks a secret of single use as the job's. ERR_NOT_FOUND: another one has it, or a PUT replaced
 * the value, of which no two have the same ciphertext. */
static enum err mark(struct mongo *m, const char *collection, const struct secret_take *t,
                     struct text path, const struct wanted *w, const bson_t *doc)
{
    struct db_done done;
    enum err e = note_claim(m, t);

    if (!e && w->twins)
        e = drop_twins(m, collection, t, path, doc);
    if (!e)
        e = DB_UPDATE(m, collection, &done,
                      .filter = doc_of("_id: ?, key: ?, value: ?", v_field(doc, "_id"),
                                       v_text(path), v_field(doc, "value")),
                      .update = doc_of("$set: {key: ?, claimed_by: ?}", v_str(w->claimed_name),
                                       v_text(t->job_id)));
    return e ? e : done.matched ? ERR_OK : ERR_NOT_FOUND;
}

/* Sets *ret_changed if the secret changed since it was found; it has no value then. */
static enum err read_one(struct mongo *m, const char *collection, struct secret_take *t,
                         struct secret_read *read, const struct wanted *w, bool *ret_changed)
{
    bson_t doc;

    if (!w->data || !bson_init_static(&doc, w->data, w->len))
        return ERR_OK;
    enum err e = open_value(m, &doc, &read->value, &read->len);
    if (e == ERR_INVALID) {
        log_error("the secret %.*s of client %.*s cannot be decrypted: see that its key is among "
                  "those of TESTFLINGER_SECRETS_MASTER_KEY, or store it again",
                  (int)read->path.len, read->path.s, (int)t->client.len, t->client.s);
        return ERR_OK;
    }
    read->single_use = doc_bool(&doc, "ephemeral");
    secret_count(t, read);
    if (!e && read->value && read->single_use && !w->claimed)
        e = mark(m, collection, t, read->path, w, &doc);
    if (e != ERR_NOT_FOUND)
        return e;
    *ret_changed = true;
    mem_wipe(read->value);
    read->value = NULL;
    return ERR_OK;
}

static enum err read_all(struct mongo *m, const char *collection, struct secret_take *t,
                         struct wanted *wanted, bool *ret_changed)
{
    struct text names[2 * SECRETS_TAKEN_MAX];
    int64_t now = mongo_now_ms(m);
    struct db_found f;

    *ret_changed = false;
    t->bytes = 0;
    for (size_t i = 0; i < t->n; i++) {
        mem_wipe(t->reads[i].value); /* of the first try */
        t->reads[i].value = NULL;
        wanted[i] =
            (struct wanted){.claimed_name = secret_claimed_name(t->job_id, t->reads[i].path)};
        names[2 * i] = t->reads[i].path;
        names[2 * i + 1] = (struct text){wanted[i].claimed_name, strlen(wanted[i].claimed_name)};
    }
    enum err e = DB_FIND(m, &f, .collection = collection,
                         .filter = doc_of("key: {$in: ?}", v_texts(names, 2 * t->n)),
                         .limit = (int)t->n * SAME_MAX);
    while (!e && db_next(&f))
        for (size_t i = 0; i < t->n; i++)
            if (!is_foreign(&f.doc, t->client) && !has_expired(&f.doc, now))
                choose(&wanted[i], t->reads[i].path, &f.doc);
    for (size_t i = 0; !e && i < t->n; i++)
        e = read_one(m, collection, t, &t->reads[i], &wanted[i], ret_changed);
    db_end(&f);
    for (size_t i = 0; i < t->n; i++)
        free(wanted[i].claimed_name);
    return e;
}

enum err mongo_secrets_take(struct store *s, struct secret_take *t)
{
    struct mongo *m = mongo_of(s);
    char collection[SECRETS_COLLECTION_SIZE];

    if (!m->vault)
        return ERR_UNAVAILABLE;
    if (!t->n || t->n > SECRETS_TAKEN_MAX || secrets_collection(m, t->client, collection))
        return ERR_OK;
    struct wanted *wanted = mem_alloc(t->n * sizeof *wanted);
    bool changed;
    enum err e = read_all(m, collection, t, wanted, &changed);
    if (!e && changed)
        e = read_all(m, collection, t, wanted, &changed);
    free(wanted);
    return e;
}

bool secret_is_readable(struct mongo *m, const bson_t *doc)
{
    char *value = NULL;
    size_t len;
    bool readable = m->vault && open_value(m, doc, &value, &len) == ERR_OK;

    mem_wipe(value);
    return readable;
}
