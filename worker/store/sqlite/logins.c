/* Failed logins and the signing key. */
#include "worker/store/sqlite/sqlite.h"

#include "common/log.h"

#include <string.h>

enum err sqlite_login_counts(struct store *s, struct login_count *counts, size_t n, int64_t now_ms)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < n; i++) {
        struct query r = query_new(sqlite_of(s), SQL_FAILURES);
        query_str(&r, counts[i].key);
        query_int(&r, now_ms);
        e = query_step(&r);
        counts[i].count = e ? 0 : query_col_int(&r, 0);
        counts[i].until_ms = e ? 0 : query_col_int(&r, 1);
        query_end(&r);
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    return e;
}

static enum err purge(struct sqlite *q, int64_t now_ms)
{
    struct query r = query_new(q, SQL_FAILURES_PURGE);

    query_int(&r, now_ms);
    return query_run(&r);
}

static enum err failed(struct sqlite *q, struct login_count *count, int64_t now_ms,
                       int64_t until_ms)
{
    enum err e = purge(q, now_ms);

    if (e)
        return e;
    struct query r = query_new(q, SQL_FAILURES_ADD);
    query_str(&r, count->key);
    query_int(&r, now_ms);
    query_int(&r, until_ms);
    e = query_step(&r);
    if (!e) {
        count->count = query_col_int(&r, 0);
        count->until_ms = query_col_int(&r, 1);
    }
    query_end(&r);
    return e;
}

enum err sqlite_login_failed(struct store *s, struct login_count *count, int64_t now_ms,
                             int64_t window_ms)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, failed(q, count, now_ms, now_ms + window_ms));
}

static enum err trust(struct sqlite *q, const struct login_count *t, int64_t now_ms)
{
    enum err e = purge(q, now_ms);

    if (e)
        return e;
    struct query r = query_new(q, SQL_TRUST_PUT);
    query_str(&r, t->key);
    query_int(&r, t->count);
    query_int(&r, t->until_ms);
    return query_run(&r);
}

enum err sqlite_login_trust(struct store *s, const struct login_count *t, int64_t now_ms)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, trust(q, t, now_ms));
}

static enum err forget(struct sqlite *q, const char *key)
{
    struct query r = query_new(q, SQL_FAILURES_DROP);

    query_str(&r, key);
    return query_run(&r);
}

enum err sqlite_login_forget(struct store *s, const char *key)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, forget(q, key));
}

/* ERR_NOT_FOUND: none yet. */
static enum err read_key(struct sqlite *q, char out[SIGNING_KEY_SIZE])
{
    struct query r = query_new(q, SQL_SIGNING_KEY);
    enum err e = query_step(&r);

    if (!e) {
        struct text key = query_col_text(&r, 0);
        if (key.len + 1 == SIGNING_KEY_SIZE) {
            memcpy(out, key.s, key.len);
            out[key.len] = '\0';
        } else {
            log_error("the signing key in %s is damaged; set JWT_SIGNING_KEY", q->path);
            e = ERR_INTERNAL;
        }
    }
    query_end(&r);
    return e;
}

static enum err add_key(struct sqlite *q, const char *proposed)
{
    struct query r = query_new(q, SQL_SIGNING_KEY_ADD);

    query_str(&r, proposed);
    return query_run(&r);
}

enum err sqlite_signing_key(struct store *s, const char *proposed, char out[SIGNING_KEY_SIZE])
{
    struct sqlite *q = sqlite_of(s);
    enum err e = read_key(q, out);

    if (e != ERR_NOT_FOUND)
        return e;
    e = sqlite_write_begin(q);
    if (!e)
        e = sqlite_write_end(q, add_key(q, proposed));
    return e ? e : read_key(q, out);
}
