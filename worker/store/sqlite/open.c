/* The SQLite back end: opening and closing. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/store/sqlite/checkpoint.h"
#include "worker/store/sqlite/secret_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "sqlite:"

/* Prefixes a relative path with ./: SQLite gives names such as :memory: a meaning. */
static char *path_of(const char *uri)
{
    const char *path = uri + strlen(SCHEME);
    size_t size = strlen(path) + sizeof "./";
    char *out = mem_alloc(size);

    snprintf(out, size, "%s%s", *path == '/' ? "" : "./", path);
    return out;
}

static void sqlite_close(struct store *s)
{
    struct sqlite *q = sqlite_of(s);

    sqlite_checkpoints_stop(q->checkpoints);
    sqlite_disconnect(q);
    sqlite_clock_close(q);
    sqlite_secrets_close(q);
    free(q->path);
    free(q);
}

static int64_t now_of(struct store *s)
{
    return sqlite_now_ms(sqlite_of(s));
}

static const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .close = sqlite_close,
    .now_ms = now_of,
#define STORE_OP(name, params, args) .name = sqlite_##name,
#include "worker/store/store.def"
#undef STORE_OP
};

enum err sqlite_open(const char *uri, const struct config *cfg, struct store **ret)
{
    if (!uri[strlen(SCHEME)]) {
        log_error("the store's URI names no file; set --store to sqlite:PATH");
        return ERR_INVALID;
    }
    struct sqlite *q = mem_alloc(sizeof *q);
    q->store.ops = &sqlite_ops;
    q->path = path_of(uri);
    q->sync = (enum sqlite_sync)cfg->sqlite_sync;
    q->timeout_ms = cfg->store_timeout;
    q->checked_ms = clock_mono_ms();
    q->clock_fd = -1;
    enum err e = sqlite_connect(q);
    if (!e)
        e = sqlite_clock_open(q);
    if (!e)
        e = sqlite_secrets_open(q, uri, cfg);
    if (!e && !(q->checkpoints = sqlite_checkpoints_start(q->path)))
        e = ERR_UNAVAILABLE;
    if (e)
        sqlite_close(&q->store);
    else
        *ret = &q->store;
    return e;
}

enum err sqlite_ping(struct store *s)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_file_check(q);

    if (e)
        return e;
    struct query r = query_new(q, SQL_PING);
    return query_probe(&r);
}
