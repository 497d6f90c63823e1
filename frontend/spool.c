#include "frontend/spool.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/prefork.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOG_EVERY_MS 1000 /* between equal log lines */

/* Used when no memory can be shared. */
static _Atomic uint64_t alone[PREFORK_SLOTS_MAX];

static struct {
    const char *folder;
    uint64_t max; /* bytes of all processes */
    uint64_t files, files_max;
    _Atomic uint64_t *used; /* bytes of each process, by slot */
    unsigned slot;
    int64_t logged_ms;
} spool = {.folder = "", .used = alone};

static bool may_log(void)
{
    int64_t now = clock_mono_ms();

    if (spool.logged_ms && now - spool.logged_ms < LOG_EVERY_MS)
        return false;
    spool.logged_ms = now;
    return true;
}

/* A quarter of the free space. */
static uint64_t quarter(const char *folder)
{
    struct statvfs fs;

    if (statvfs(folder, &fs) == 0)
        return (uint64_t)fs.f_bavail * fs.f_frsize / 4;
    log_error("cannot look at the folder %s: %s; bodies above 64 KiB get 507 until it is there and "
              "the frontend is started again, or --spool names another",
              folder, strerror(errno));
    return 0;
}

void spool_share(const struct config *cfg)
{
    void *p = mmap(NULL, PREFORK_SLOTS_MAX * sizeof *spool.used, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    spool.folder = cfg->spool;
    spool.max = cfg->max_spool ? (uint64_t)cfg->max_spool : quarter(cfg->spool);
    if (p == MAP_FAILED)
        log_error(
            "cannot share memory between processes: %s; --max-spool now limits each on its own; "
            "free memory, then restart the frontend",
            strerror(errno));
    spool.used = p == MAP_FAILED ? alone : p;
}

void spool_use(unsigned slot, uint64_t files_max)
{
    spool.slot = slot;
    spool.files_max = files_max;
    atomic_store(&spool.used[slot], 0);
}

static uint64_t used(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PREFORK_SLOTS_MAX; i++)
        sum += atomic_load_explicit(&spool.used[i], memory_order_relaxed);
    return sum;
}

bool spool_has_room(const struct tenant *t, uint64_t bytes)
{
    return budget_may_spool(t, bytes, used(), spool.max);
}

int spool_open(void)
{
    int fd = -1;

    if (spool.files >= spool.files_max)
        errno = EMFILE;
    else
        fd = open(spool.folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        spool.files++;
    else if (may_log())
        log_error("cannot make a temporary file in %s: %s; check the folder and the limit of open "
                  "files, or name another folder with --spool",
                  spool.folder, strerror(errno));
    return fd;
}

void spool_close(int fd)
{
    close(fd);
    spool.files--;
}

/* Two processes that count at the same moment may exceed the limit by these bytes. */
bool spool_take(struct budget_share *s, struct tenant *t, uint64_t bytes)
{
    if (budget_spool(s, t, bytes, used(), spool.max)) {
        metric_set(M_HTTP_SPOOLED, 0, atomic_fetch_add(&spool.used[spool.slot], bytes) + bytes);
        return true;
    }
    if (may_log())
        log_warn("the bodies in %s have %" PRIu64 " of %" PRIu64 " bytes, and one address at most "
                 "half of what others leave: more get 507; raise --max-spool if the disk has room",
                 spool.folder, used(), spool.max);
    return false;
}

void spool_give(struct budget_share *s)
{
    uint64_t bytes = s->bytes;

    budget_unspool(s);
    metric_set(M_HTTP_SPOOLED, 0, atomic_fetch_sub(&spool.used[spool.slot], bytes) - bytes);
}

void spool_log_write(int fault)
{
    if (may_log())
        log_error("cannot write to a temporary file in %s: %s; make room there, or name another "
                  "folder with --spool",
                  spool.folder, strerror(fault));
}
