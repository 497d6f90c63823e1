/* Failed logins and the signing key. */
#include "worker/store_sqlite/sqlite.h"

#include "common/log.h"

#include <string.h>

enum err sqlite_login_failures(struct store *s, struct text key, int64_t now_ms,
                               struct login_failures *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_FAILURES);

    query_text(&r, key);
    query_int(&r, now_ms);
    enum err e = query_step(&r);
    if (!e)
        *ret = (struct login_failures){query_col_int(&r, 0), query_col_int(&r, 1)};
    else if (e == ERR_NOT_FOUND)
        *ret = (struct login_failures){0};
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err failed(struct sqlite *q, struct text key, int64_t now_ms, int64_t until_ms,
                       struct login_failures *ret)
{
    struct query purge = query_new(q, SQL_FAILURES_PURGE), r = query_new(q, SQL_FAILURES_ADD);

    query_int(&purge, now_ms);
    enum err e = query_run(&purge);
    if (e)
        return e;
    query_text(&r, key);
    query_int(&r, now_ms);
    query_int(&r, until_ms);
    e = query_step(&r);
    if (!e)
        *ret = (struct login_failures){query_col_int(&r, 0), query_col_int(&r, 1)};
    query_end(&r);
    return e;
}

enum err sqlite_login_failed(struct store *s, struct text key, int64_t now_ms, int64_t window_ms,
                             struct login_failures *ret)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, failed(q, key, now_ms, now_ms + window_ms, ret));
}

static enum err forget(struct sqlite *q, struct text key)
{
    struct query r = query_new(q, SQL_FAILURES_DROP);

    query_text(&r, key);
    return query_run(&r);
}

enum err sqlite_login_forget(struct store *s, struct text key)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, forget(q, key));
}

/* ERR_NOT_FOUND: there is none yet. */
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
