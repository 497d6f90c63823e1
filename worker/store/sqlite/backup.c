/* The copy of the file that is made before its tables change: the way back to the older release.
 *
 * FILE.DATE.version-N, with the day in UTC and the version of its tables; a second copy of one day
 * and version replaces the first. The caller holds the lock for writing, so one process copies,
 * while readers go on. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"
#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    COPIES_KEPT = 3,
    STEP_PAGES = 1024,
    SPARE_BYTES = 1 << 20 /* free space beside the copy, for the change itself */
};

#define VERSION_MARK ".version-"
#define DATE_SIZE    sizeof "2026-01-31"

#define NAME_SIZE (PATH_MAX + 64)

struct copy {
    const char *path;
    char name[NAME_SIZE], part[NAME_SIZE]; /* under `part` until it is complete */
    char folder[PATH_MAX];
    sqlite3 *from, *to;
};

static enum err failed(const struct copy *c, const char *what, const char *reason)
{
    log_error("cannot copy %s to %s before its tables change: %s: %s; make room in its folder and "
              "the folder writable for the server's user, then start again. The file is unchanged",
              c->path, c->name, what, reason);
    return ERR_INVALID;
}

static void copy_init(struct copy *c, const char *path, int64_t version)
{
    char date[DATE_SIZE], copy[PATH_MAX];
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%Y-%m-%d", &tm);
    *c = (struct copy){.path = path};
    snprintf(c->name, sizeof c->name, "%s.%s" VERSION_MARK "%" PRId64, path, date, version);
    snprintf(c->part, sizeof c->part, "%s.copying", path);
    snprintf(copy, sizeof copy, "%s", path);
    snprintf(c->folder, sizeof c->folder, "%s", dirname(copy));
}

static void copy_close(struct copy *c)
{
    sqlite3_close(c->from);
    sqlite3_close(c->to);
    unlink(c->part); /* there only after a failure */
}

/* Opens both ends. The source is a connection of its own: SQLite does not copy from one that
 * writes. */
static enum err open_both(struct copy *c)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;

    unlink(c->part); /* of a process that died */
    int fd = open(c->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(c, c->part, strerror(errno));
    close(fd);
    if (sqlite3_open_v2(c->path, &c->from, flags, NULL))
        return failed(c, c->path, sqlite3_errmsg(c->from));
    /* Without a journal: an incomplete copy is thrown away, a complete one synced at its end. */
    if (sqlite3_open_v2(c->part, &c->to, flags, NULL) ||
        sqlite3_exec(c->to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL,
                     NULL))
        return failed(c, c->part, sqlite3_errmsg(c->to));
    return ERR_OK;
}

/* The number that a statement gives, 0 when it fails. */
static uint64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    uint64_t n = 0;

    if (!sqlite3_prepare_v2(db, sql, -1, &st, NULL) && sqlite3_step(st) == SQLITE_ROW)
        n = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

/* A disk that is full would end the copy only after a long time, and leave no room for others. */
static enum err check_room(const struct copy *c, uint64_t bytes)
{
    struct statvfs fs;
    char text[96];

    if (statvfs(c->folder, &fs) != 0)
        return failed(c, c->folder, strerror(errno));
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room >= bytes + SPARE_BYTES)
        return ERR_OK;
    snprintf(text, sizeof text, "%" PRIu64 " bytes are free, %" PRIu64 " are needed", room,
             bytes + SPARE_BYTES);
    return failed(c, c->folder, text);
}

static enum err copy_pages(struct copy *c)
{
    int code = SQLITE_ERROR;
    sqlite3_backup *b = sqlite3_backup_init(c->to, "main", c->from, "main");

    if (b) {
        while ((code = sqlite3_backup_step(b, STEP_PAGES)) == SQLITE_OK)
            ;
        sqlite3_backup_finish(b);
    }
    if (code != SQLITE_DONE)
        return failed(c, c->part, sqlite3_errstr(code));
    code = sqlite3_close(c->to);
    c->to = NULL;
    return code ? failed(c, c->part, sqlite3_errstr(code)) : ERR_OK;
}

static bool sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return ok;
}

/* Gives it its name; after that it survives a power cut. */
static enum err finish(const struct copy *c)
{
    if (!sync_path(c->part) || rename(c->part, c->name) != 0 || !sync_path(c->folder))
        return failed(c, c->name, strerror(errno));
    return ERR_OK;
}

/* Whether a file in the folder is a copy of the file `base`: "BASE.DATE.version-N". */
static bool is_copy(const char *name, const char *base)
{
    const size_t len = strlen(base), mark = strlen(VERSION_MARK);

    if (strncmp(name, base, len) != 0 || name[len] != '.')
        return false;
    name += len + 1;
    if (strspn(name, "0123456789-") != DATE_SIZE - 1)
        return false;
    name += DATE_SIZE - 1;
    return strncmp(name, VERSION_MARK, mark) == 0 && name[mark] &&
           name[mark + strspn(name + mark, "0123456789")] == '\0';
}

/* Removes copies until the new one and the newest others, by their names, are left. */
static void prune(const struct copy *c)
{
    const char *slash = strrchr(c->path, '/'), *base = slash ? slash + 1 : c->path;
    const char *new = c->name + (base - c->path);
    char old[PATH_MAX + NAME_MAX + 2];
    struct dirent **found;
    int kept = 1, n = scandir(c->folder, &found, NULL, versionsort);

    for (int i = n - 1; i >= 0; i--) {
        const char *name = found[i]->d_name;
        if (is_copy(name, base) && strcmp(name, new) != 0 && ++kept > COPIES_KEPT) {
            snprintf(old, sizeof old, "%s/%s", c->folder, name);
            if (unlink(old) == 0)
                log_info("removed the old copy %s; the newest %d are kept", old, COPIES_KEPT);
        }
        free(found[i]);
    }
    if (n >= 0)
        free(found);
}

enum err sqlite_backup(struct sqlite *q, int64_t version)
{
    int64_t start = clock_mono_ms();
    struct copy c;

    copy_init(&c, q->path, version);
    enum err e = open_both(&c);
    uint64_t bytes =
        e ? 0 : number(c.from, "PRAGMA page_count") * number(c.from, "PRAGMA page_size");
    if (!e)
        e = check_room(&c, bytes);
    if (!e)
        log_info("copying %s (%" PRIu64 " bytes) to %s before its tables change", c.path, bytes,
                 c.name);
    if (!e)
        e = copy_pages(&c);
    if (!e)
        e = finish(&c);
    if (!e) {
        log_info("copied %s in %" PRId64 " ms; an older release can use the copy %s", c.path,
                 clock_mono_ms() - start, c.name);
        prune(&c);
    }
    copy_close(&c);
    return e;
}
