/* The keys of secrets: master keys of the settings, and the data keys that they wrap. */
#include "worker/store/sqlite/secret_keys.h"

#include "common/log.h"
#include "common/mem.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* A row of secret_keys, unwrapped; takes the place of another one in the cache. */
static enum err unwrap(struct sqlite_secrets *x, struct text id, struct text wrapped,
                       struct seal_key *ret)
{
    size_t which = 0;

    if (id.len != SEAL_ID_SIZE)
        return ERR_INVALID;
    memcpy(ret->id, id.s, SEAL_ID_SIZE);
    return seal_key_unwrap(&x->masters, wrapped, ret, &which) ? ERR_OK : ERR_INVALID;
}

static struct seal_key *cached(struct sqlite_secrets *x, struct text id)
{
    for (size_t i = 0; i < SEAL_KEYS_KNOWN; i++)
        if (x->used[i] && id.len == SEAL_ID_SIZE && memcmp(x->known[i].id, id.s, id.len) == 0)
            return &x->known[i];
    return NULL;
}

static struct seal_key *cache(struct sqlite_secrets *x, const struct seal_key *key)
{
    size_t i = x->next++ % SEAL_KEYS_KNOWN;

    x->known[i] = *key;
    x->used[i] = true;
    return &x->known[i];
}

enum err sqlite_secrets_key(struct sqlite *q, struct text id, const struct seal_key **ret)
{
    struct sqlite_secrets *x = q->secrets;
    struct seal_key key;

    if ((*ret = cached(x, id)))
        return ERR_OK;
    struct query r = query_new(q, SQL_SECRET_KEY);
    query_blob(&r, id);
    enum err e = query_step(&r);
    if (!e)
        e = unwrap(x, id, query_col_text(&r, 0), &key);
    query_end(&r);
    if (!e)
        *ret = cache(x, &key);
    else if (e == ERR_NOT_FOUND)
        e = ERR_INVALID;
    OPENSSL_cleanse(&key, sizeof key);
    return e;
}

/* Stores a new data key. */
static enum err make(struct sqlite *q, struct seal_key *key)
{
    uint8_t wrapped[SEAL_WRAPPED_SIZE];

    seal_key_make(key);
    if (!seal_key_wrap(&q->secrets->masters.keys[0], key, wrapped))
        return ERR_INTERNAL;
    struct query r = query_new(q, SQL_SECRET_KEY_ADD);
    query_blob(&r, (struct text){(const char *)key->id, SEAL_ID_SIZE});
    query_blob(&r, (struct text){(const char *)wrapped, sizeof wrapped});
    query_int(&r, sqlite_now_ms(q));
    return query_run(&r);
}

enum err sqlite_secrets_newest(struct sqlite *q, const struct seal_key **ret)
{
    struct query r = query_new(q, SQL_SECRET_KEYS);
    char id[SEAL_ID_SIZE];
    int64_t newest_ms = 0;
    bool any = false;
    enum err e;

    while (!(e = query_step(&r))) {
        struct text found = query_col_text(&r, 0);
        if (found.len == SEAL_ID_SIZE && (!any || query_col_int(&r, 2) > newest_ms)) {
            memcpy(id, found.s, SEAL_ID_SIZE);
            newest_ms = query_col_int(&r, 2);
            any = true;
        }
    }
    query_end(&r);
    if (e != ERR_NOT_FOUND)
        return e;
    if (any)
        return sqlite_secrets_key(q, (struct text){id, sizeof id}, ret);
    struct seal_key key;
    e = make(q, &key);
    if (!e)
        e = sqlite_secrets_key(q, (struct text){(const char *)key.id, SEAL_ID_SIZE}, ret);
    OPENSSL_cleanse(&key, sizeof key);
    return e;
}

/* Whether the master keys unwrap all data keys. */
static enum err check(struct sqlite *q)
{
    struct query r = query_new(q, SQL_SECRET_KEYS);
    struct seal_key key;
    enum err e;

    while (!(e = query_step(&r)) &&
           !(e = unwrap(q->secrets, query_col_text(&r, 0), query_col_text(&r, 1), &key)))
        ;
    query_end(&r);
    OPENSSL_cleanse(&key, sizeof key);
    if (e == ERR_INVALID)
        log_error("no key of TESTFLINGER_SECRETS_MASTER_KEY, or of the file " MASTER_KEY_FILE
                  ", opens the secrets in %s; give the key that they were stored with",
                  q->path);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_secrets_open(struct sqlite *q, const char *uri, const struct config *cfg)
{
    struct sqlite_secrets *x = mem_alloc(sizeof *x);
    enum err e = master_keys_load(cfg, uri, &x->masters);

    q->secrets = x;
    q->store.has_secrets = !e && x->masters.len;
    if (!e && x->masters.len)
        return check(q);
    sqlite_secrets_close(q);
    return e;
}

void sqlite_secrets_close(struct sqlite *q)
{
    if (q->secrets)
        OPENSSL_cleanse(q->secrets, sizeof *q->secrets);
    free(q->secrets);
    q->secrets = NULL;
}

/* Wraps a data key anew unless the first master key has wrapped it. */
static enum err rotate_key(struct sqlite *q, struct text id, struct text wrapped, int64_t *done)
{
    struct master_keys *masters = &q->secrets->masters;
    uint8_t now[SEAL_WRAPPED_SIZE];
    struct seal_key key;
    size_t which = 0;
    enum err e = ERR_OK;

    memcpy(key.id, id.s, SEAL_ID_SIZE);
    if (!seal_key_unwrap(masters, wrapped, &key, &which)) {
        log_error("no key of TESTFLINGER_SECRETS_MASTER_KEY opens the secrets in %s", q->path);
        e = ERR_INVALID;
    } else if (which > 0) {
        e = seal_key_wrap(&masters->keys[0], &key, now) ? ERR_OK : ERR_INTERNAL;
        struct query r = query_new(q, SQL_SECRET_KEY_WRAP);
        query_blob(&r, id);
        query_blob(&r, wrapped);
        query_blob(&r, (struct text){(const char *)now, sizeof now});
        if (!e)
            e = query_run(&r);
        else
            query_end(&r);
        *done += !e;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return e;
}

/* The ids and wrapped keys of all data keys, one behind the other; owned by the caller. */
static enum err read_keys(struct sqlite *q, char **ret, size_t *ret_n)
{
    enum { ROW = SEAL_ID_SIZE + SEAL_WRAPPED_SIZE };
    struct query r = query_new(q, SQL_SECRET_KEYS);
    char *rows = NULL;
    size_t n = 0;
    enum err e;

    while (!(e = query_step(&r))) {
        struct text id = query_col_text(&r, 0), wrapped = query_col_text(&r, 1);
        if (id.len != SEAL_ID_SIZE || wrapped.len != SEAL_WRAPPED_SIZE)
            continue;
        rows = mem_realloc(rows, (n + 1) * ROW);
        memcpy(rows + n * ROW, id.s, id.len);
        memcpy(rows + n++ * ROW + id.len, wrapped.s, wrapped.len);
    }
    query_end(&r);
    *ret = rows;
    *ret_n = n;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_secrets_rotate(struct store *s, int64_t *ret)
{
    struct sqlite *q = sqlite_of(s);
    char *rows = NULL, *at;
    size_t n = 0;
    enum err e = q->secrets ? sqlite_write_begin(q) : ERR_UNAVAILABLE;

    *ret = 0;
    if (e)
        return e;
    e = read_keys(q, &rows, &n);
    at = rows;
    for (size_t i = 0; !e && i < n; i++, at += SEAL_ID_SIZE + SEAL_WRAPPED_SIZE)
        e = rotate_key(q, (struct text){at, SEAL_ID_SIZE},
                       (struct text){at + SEAL_ID_SIZE, SEAL_WRAPPED_SIZE}, ret);
    free(rows);
    return sqlite_write_end(q, e);
}

enum err sqlite_secret_open(struct sqlite *q, struct text client, struct text path,
                            const struct query *row, char **ret, size_t *ret_len)
{
    struct text sealed = query_col_text(row, 1);
    const struct seal_key *key;
    enum err e = sqlite_secrets_key(q, query_col_text(row, 0), &key);

    *ret = NULL;
    if (e || sealed.len < SEAL_OVERHEAD)
        return e == ERR_INVALID ? ERR_OK : e;
    char *value = mem_alloc(sealed.len - SEAL_OVERHEAD + 1);
    if (seal_open(key, client, path, sealed, (uint8_t *)value)) {
        *ret = value;
        *ret_len = sealed.len - SEAL_OVERHEAD;
    } else {
        mem_wipe(value);
    }
    return ERR_OK;
}
