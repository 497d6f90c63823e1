/* Checkpoints copy the write-ahead log (WAL) into the database. A thread makes them, with its own
 * connection, so that no request waits for the copy or for a reader that is in its way. */
#include "worker/store/sqlite/checkpoint.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "worker/store/sqlite/sqlite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_MS = 1000,        /* between two looks at the WAL's size */
    TRUNCATE_MS = 20,      /* the longest wait for others while they wait for us */
    TRUNCATE_PAUSE = 30,   /* looks between attempts to truncate that fail, at most */
    TRUNCATE_REST = 1000,  /* pages that a truncation may have to copy while writers wait */
    READER_MS = 10 * 1000, /* a reader this old is worth a warning */
    WARN_MS = 60 * 1000
};

#define WAL_MAX_BYTES ((int64_t)64 * 1024 * 1024) /* above this it is truncated */

struct sqlite_checkpoints {
    char *path, *wal; /* owned: the database, its WAL */
    pthread_t thread;
    bool started;
    int changed; /* eventfd: wakes the thread; -1: none */
    _Atomic bool wanted, ending;
    _Atomic int64_t wal_bytes; /* for warnings, which the owner of the connection logs */
    _Atomic int64_t reader_ms;
    int64_t warned_ms; /* of the owner */
    /* of the thread */
    int copied;           /* pages of the WAL that the last checkpoint had copied */
    int64_t stuck_since;  /* since when it is these, although there are more; 0: all are copied */
    int failed, postpone; /* truncations in a row that failed; looks until the next one */
    int64_t busy_since;
};

static int on_busy(void *arg, int tries)
{
    struct sqlite_checkpoints *c = arg;

    if (tries == 0)
        c->busy_since = clock_mono_ms();
    if (clock_mono_ms() - c->busy_since >= TRUNCATE_MS)
        return 0;
    usleep(200);
    return 1;
}

/* Opens the file that is there now; NULL: it cannot be. Reading its version opens the WAL, too. */
static sqlite3 *open_file(struct sqlite_checkpoints *c)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(c->path, &db, flags, NULL) == SQLITE_OK) {
        sqlite3_busy_handler(db, on_busy, c);
        if (sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA schema_version", NULL, NULL,
                         NULL) == SQLITE_OK)
            return db;
    }
    sqlite3_close(db);
    return NULL;
}

/* Notes how far a checkpoint came. A reader holds all pages after its own, so the number of copied
 * ones stays the same until it ends. */
static void note_progress(struct sqlite_checkpoints *c, int pages, int copied)
{
    int64_t now = clock_mono_ms();

    if (copied == pages)
        c->stuck_since = 0;
    else if (!c->stuck_since || copied != c->copied)
        c->stuck_since = now;
    c->copied = copied;
    c->reader_ms = c->stuck_since ? now - c->stuck_since : 0;
}

/* Empties a WAL of which nearly all pages are copied. Writers wait meanwhile: if a reader is in the
 * way, give up after TRUNCATE_MS and make the next attempt later. */
static void truncate_wal(struct sqlite_checkpoints *c, sqlite3 *db)
{
    if (c->postpone > 0) {
        c->postpone--;
        return;
    }
    int code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code == SQLITE_OK)
        c->failed = 0;
    else if (c->failed < TRUNCATE_PAUSE)
        c->failed++;
    c->postpone = c->failed;
}

static void checkpoint(struct sqlite_checkpoints *c)
{
    sqlite3 *db = open_file(c);
    int pages = -1, copied = -1;

    if (!db)
        return;
    int code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
    if (code == SQLITE_OK && pages >= 0) {
        note_progress(c, pages, copied);
        if (c->wal_bytes > WAL_MAX_BYTES && pages - copied < TRUNCATE_REST)
            truncate_wal(c, db);
    }
    sqlite3_close(db);
}

static void measure(struct sqlite_checkpoints *c)
{
    struct stat st;

    c->wal_bytes = stat(c->wal, &st) == 0 ? st.st_size : 0;
    metric_set(M_WAL_BYTES, 0, (uint64_t)c->wal_bytes);
    metric_set(M_READER_SECONDS, 0, (uint64_t)(c->reader_ms / 1000));
}

/* Waits until a checkpoint is wanted or a look is due. False: the end. */
static bool await(struct sqlite_checkpoints *c, bool *ret_wanted)
{
    struct pollfd wake = {.fd = c->changed, .events = POLLIN};
    eventfd_t times;

    poll(&wake, 1, LOOK_MS);
    eventfd_read(c->changed, &times); /* does not block; fails where nothing woke it */
    *ret_wanted = atomic_exchange(&c->wanted, false);
    return !c->ending;
}

static void *run(void *arg)
{
    struct sqlite_checkpoints *c = arg;
    bool wanted;

    while (await(c, &wanted)) {
        measure(c);
        if (wanted || c->stuck_since || c->wal_bytes > WAL_MAX_BYTES) {
            checkpoint(c);
            measure(c);
        }
    }
    return NULL;
}

struct sqlite_checkpoints *sqlite_checkpoints_start(const char *path)
{
    struct sqlite_checkpoints *c = mem_alloc(sizeof *c);
    size_t size = strlen(path) + sizeof "-wal";
    sigset_t all, before;

    c->path = mem_strndup(path, strlen(path));
    c->wal = mem_alloc(size);
    snprintf(c->wal, size, "%s-wal", path);
    c->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the main thread */
    int e = c->changed < 0 ? errno : pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->started = e == 0;
    if (c->started)
        return c;
    log_error("cannot start the thread that copies the write-ahead log of %s: %s; raise the limits "
              "of threads and open files (ulimit -u, -n) or give the server more memory",
              path, strerror(e));
    sqlite_checkpoints_stop(c);
    return NULL;
}

void sqlite_checkpoints_stop(struct sqlite_checkpoints *c)
{
    if (!c)
        return;
    c->ending = true;
    if (c->started) {
        eventfd_write(c->changed, 1);
        pthread_join(c->thread, NULL);
    }
    if (c->changed >= 0)
        close(c->changed);
    free(c->path);
    free(c->wal);
    free(c);
}

bool sqlite_checkpoints_want(struct sqlite_checkpoints *c)
{
    if (!c) /* the tables are being made */
        return false;
    if (!atomic_exchange(&c->wanted, true))
        eventfd_write(c->changed, 1);
    int64_t now = clock_mono_ms(), reader_ms = c->reader_ms, bytes = c->wal_bytes;
    if (bytes <= WAL_MAX_BYTES || reader_ms < READER_MS ||
        (c->warned_ms && now - c->warned_ms < WARN_MS))
        return reader_ms > 0;
    c->warned_ms = now;
    log_warn("the write-ahead log %s grows (%lld MiB) because a program has been reading the "
             "database for %lld s; find backups and shells that have it open by fuser -v %s or "
             "lsof, and end them",
             c->wal, (long long)(bytes >> 20), (long long)(reader_ms / 1000), c->path);
    return true;
}
