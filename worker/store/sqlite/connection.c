/* The connection to a file that several processes use at once. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Pause between attempts to switch a new file to WAL while other processes do the same. */
#define SWITCH_PAUSE_US 2000

/* How often to check that the file is still at its path. */
#define FILE_CHECK_MS 1000

/* Each process caches up to 2 MiB of pages; the kernel caches the rest. A WAL above 64 MiB is
 * truncated when it restarts. */
static const char settings[] = "PRAGMA cache_size = -2000;"
                               "PRAGMA journal_size_limit = 67108864;"
                               "PRAGMA trusted_schema = OFF;";

static const struct {
    const char *set;
    int level; /* as SQLite returns it */
} sync_settings[] = {
    [STORE_SYNC_NORMAL] = {"PRAGMA synchronous = NORMAL", 1},
    [STORE_SYNC_FULL] = {"PRAGMA synchronous = FULL", 2},
};

/* Pauses while another process holds a lock: most hold it only for one sync of the disk. */
static const struct {
    int tries;
    useconds_t us;
} pauses[] = {
    {20, 50},
    {60, 200},
    {200, 1000},
};

static useconds_t pause_us(int tries)
{
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++)
        if (tries < pauses[i].tries)
            return pauses[i].us;
    return 5000;
}

/* Busy handler: SQLite calls it while another process holds a lock; 0: give up. */
static int on_busy(void *arg, int tries)
{
    struct sqlite *q = arg;
    int64_t now = clock_mono_ms();

    if (tries == 0)
        q->busy_since = now;
    if (now - q->busy_since >= q->timeout_ms)
        return 0;
    usleep(pause_us(tries));
    return 1;
}

/* WAL hook: SQLite calls it after a commit. */
static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct sqlite *q = arg;

    (void)db;
    (void)name;
    q->wal_pages = pages;
    return SQLITE_OK;
}

static void busy_init(struct sqlite *q)
{
    sqlite3_busy_handler(q->db, on_busy, q);
    sqlite3_wal_hook(q->db, on_wal, q);
}

/* Creates a missing file with access for this user only: jobs may hold secrets. */
static enum err make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        log_error("cannot open the store's file %s: %s; see that its folder is there and "
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

/* Whether another process made the same new file at the same time: it has it locked, or it has
 * removed the remains of a log that both wanted to remove. */
static bool is_race(int code)
{
    return (code & 0xff) == SQLITE_BUSY || code == SQLITE_IOERR_DELETE_NOENT;
}

/* Switches to WAL. SQLite does not wait for other processes here by itself. */
static enum err use_wal(struct sqlite *q)
{
    int64_t end = clock_mono_ms() + q->timeout_ms;
    bool wal = false;
    int code;

    for (;;) {
        code = sqlite3_exec(q->db, "PRAGMA journal_mode = WAL", mode_is, &wal, NULL);
        if (!is_race(code) || clock_mono_ms() >= end)
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

/* The sync level as SQLite returns it; -1: none. */
static int sync_level(struct sqlite *q)
{
    sqlite3_stmt *st = NULL;
    int level = -1;

    if (sqlite3_prepare_v2(q->db, "PRAGMA synchronous", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        level = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return level;
}

/* SQLite ignores an unknown PRAGMA, so check the value. */
static enum err set_sync(struct sqlite *q)
{
    int code = sqlite3_exec(q->db, sync_settings[q->sync].set, NULL, NULL, NULL);
    int level = sync_level(q);

    if (code)
        return sqlite_fault(q, code);
    if (level == sync_settings[q->sync].level)
        return ERR_OK;
    log_error("SQLite did not take the setting sqlite-sync (synchronous is %d, not %d); use the "
              "library of Debian",
              level, sync_settings[q->sync].level);
    return ERR_INVALID;
}

enum err sqlite_connect(struct sqlite *q)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                      SQLITE_OPEN_EXRESCODE;
    enum err e = make_file(q->path);

    if (e)
        return e;
    int code = sqlite3_open_v2(q->path, &q->db, flags, NULL);
    if (code)
        return sqlite_fault(q, code);
    busy_init(q);
    code = sqlite_functions_add(q->db);
    if (code)
        return sqlite_fault(q, code);
    e = use_wal(q);
    if (e)
        return e;
    code = sqlite3_exec(q->db, settings, NULL, NULL, NULL);
    if (code)
        return sqlite_fault(q, code);
    e = set_sync(q);
    return e ? e : sqlite_schema_make(q);
}

void sqlite_disconnect(struct sqlite *q)
{
    for (size_t i = 0; i < SQL_COUNT_; i++) {
        sqlite3_finalize(q->statements[i]);
        q->statements[i] = NULL;
    }
    sqlite3_close(q->db);
    q->db = NULL;
}

/* Writes to a removed or replaced file succeed but are lost: detect it and open the new file. */
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
        sqlite_disconnect(q);
    }
    if (!q->db && (e = sqlite_connect(q)) != ERR_OK)
        sqlite_disconnect(q);
    q->checked_ms = now;
    return e ? ERR_UNAVAILABLE : ERR_OK;
}
