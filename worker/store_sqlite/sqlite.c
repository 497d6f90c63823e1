/* The SQLite back end: opening and closing a file that several processes share. */
#include "worker/store_sqlite/sqlite.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCHEME "sqlite:"

/* Pause between attempts to switch a new file to its journal while others do the same. */
#define SWITCH_PAUSE_US 2000

/* How often the file is looked for at its path. */
#define FILE_CHECK_MS 1000

/* Each process keeps up to 2 MiB of pages: the kernel keeps the rest. A log that grew beyond
 * 64 MiB is cut when it begins anew. */
static const char settings[] = "PRAGMA cache_size = -2000;"
                               "PRAGMA journal_size_limit = 67108864;"
                               "PRAGMA trusted_schema = OFF;";

static const char *const sync_settings[] = {
    [SQLITE_SYNC_NORMAL] = "PRAGMA synchronous = NORMAL",
    [SQLITE_SYNC_FULL] = "PRAGMA synchronous = FULL",
};

/* The path with ./ before a relative one: SQLite takes some names for something else. */
static char *path_of(const char *uri)
{
    const char *path = uri + strlen(SCHEME);
    size_t size = strlen(path) + sizeof "./";
    char *out = mem_alloc(size);

    snprintf(out, size, "%s%s", *path == '/' ? "" : "./", path);
    return out;
}

/* Makes the file when it is missing, for this user only: it holds whatever jobs hold. */
static enum err make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        log_error("the store's file %s cannot be opened: %s; see that its folder is there and "
                  "both are writable for the server's user, or set --store",
                  path, strerror(errno));
        return ERR_UNAVAILABLE;
    }
    close(fd);
    return ERR_OK;
}

static int mode_is(void *arg, int n, char **values, char **names)
{
    (void)names;
    *(bool *)arg = n > 0 && values[0] && strcmp(values[0], "wal") == 0;
    return 0;
}

/* Switches to the write-ahead log. SQLite does not wait by itself for other processes here. */
static enum err use_wal(struct sqlite *q)
{
    int64_t end = clock_mono_ms() + q->timeout_ms;
    bool wal = false;
    int code;

    for (;;) {
        code = sqlite3_exec(q->db, "PRAGMA journal_mode = WAL", mode_is, &wal, NULL);
        if ((code & 0xff) != SQLITE_BUSY || clock_mono_ms() >= end)
            break;
        usleep(SWITCH_PAUSE_US);
    }
    if ((code & 0xff) == SQLITE_NOTADB) {
        log_error("%s is no SQLite database; set --store to another path", q->path);
        return ERR_INVALID;
    }
    if (code)
        return sqlite_fault(q, code);
    if (!wal) {
        log_error("the file system of %s cannot share memory between processes; set --store to a "
                  "path on a local disk",
                  q->path);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err prepare(struct sqlite *q)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                      SQLITE_OPEN_EXRESCODE;
    enum err e = make_file(q->path);

    if (e)
        return e;
    int code = sqlite3_open_v2(q->path, &q->db, flags, NULL);
    if (code)
        return sqlite_fault(q, code);
    sqlite_busy_init(q);
    e = use_wal(q);
    if (e)
        return e;
    code = sqlite3_exec(q->db, settings, NULL, NULL, NULL);
    if (!code)
        code = sqlite3_exec(q->db, sync_settings[q->sync], NULL, NULL, NULL);
    return code ? sqlite_fault(q, code) : sqlite_schema_make(q);
}

static void disconnect(struct sqlite *q)
{
    for (size_t i = 0; i < SQL_COUNT_; i++) {
        sqlite3_finalize(q->statements[i]);
        q->statements[i] = NULL;
    }
    sqlite3_close(q->db);
    q->db = NULL;
}

/* A file that was removed or replaced can be written to as ever, but nobody will read that. */
static bool has_moved(struct sqlite *q)
{
    int moved = 0;

    return sqlite3_file_control(q->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved;
}

enum err sqlite_file_check(struct sqlite *q)
{
    int64_t now = clock_mono_ms();
    enum err e = ERR_OK;

    if (q->begun || now - q->checked_ms < FILE_CHECK_MS)
        return q->db ? ERR_OK : ERR_UNAVAILABLE;
    if (q->db && has_moved(q)) {
        log_error("the store's file %s was removed or replaced while the server ran; what is there "
                  "now is used. Stop the server before files are exchanged",
                  q->path);
        disconnect(q);
    }
    if (!q->db && (e = prepare(q)) != ERR_OK)
        disconnect(q);
    q->checked_ms = now;
    return e ? ERR_UNAVAILABLE : ERR_OK;
}

static void sqlite_close(struct store *s)
{
    struct sqlite *q = sqlite_of(s);

    disconnect(q);
    free(q->path);
    free(q);
}

static const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .close = sqlite_close,
#define STORE_OP(name, params, args) .name = sqlite_##name,
#include "worker/store.def"
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
    enum err e = prepare(q);
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
