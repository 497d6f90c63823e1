/* Secrets over time: those that jobs have or that have expired, a walk through all. */
#include "worker/store/sqlite/secret_keys.h"

#include "common/mem.h"
#include "worker/secrets/names.h"

enum err sqlite_secrets_sweep(struct store *s, bool *ret_more)
{
    struct sqlite *q = sqlite_of(s);
    struct query look = query_new(q, SQL_SECRETS_OLD);

    *ret_more = false;
    query_int(&look, sqlite_now_ms(q));
    enum err e = query_probe(&look); /* most find nothing and need no write lock */
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = sqlite_write_begin(q);
    if (e)
        return e;
    struct query expire = query_new(q, SQL_SECRETS_EXPIRE);
    query_int(&expire, sqlite_now_ms(q));
    query_int(&expire, SWEEP_MAX);
    e = query_run(&expire);
    *ret_more = !e && query_changes(&expire) == SWEEP_MAX;
    if (!e) {
        struct query end = query_new(q, SQL_SECRETS_END);
        query_int(&end, SWEEP_MAX);
        e = query_run(&end);
        *ret_more = *ret_more || (!e && query_changes(&end) == SWEEP_MAX);
    }
    return sqlite_write_end(q, e);
}

enum err sqlite_secrets_walk(struct store *s, secret_take_fn *take, void *arg)
{
    struct sqlite *q = sqlite_of(s);
    struct query r = query_new(q, SQL_SECRETS_WALK);
    enum err e;

    while (!(e = query_step(&r))) {
        struct text name = query_col_text(&r, 3), path = secret_path_of(name);
        struct secret_shown shown = {.client = query_col_text(&r, 2),
                                     .path = path,
                                     .claimed = path.len != name.len,
                                     .single_use = query_col_int(&r, 4),
                                     .expires_ms = query_col_int(&r, 5),
                                     .updated_ms = query_col_int(&r, 6)};
        char *value = NULL;
        size_t len;
        e = q->secrets ? sqlite_secret_open(q, shown.client, path, &r, &value, &len) : ERR_OK;
        if (e)
            break;
        shown.readable = value != NULL;
        mem_wipe(value);
        take(arg, &shown);
    }
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
