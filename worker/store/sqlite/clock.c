/* The clock of all processes on one file: CLOCK_BOOTTIME, which nobody can set, and a distance to
 * the time of day that the first of them takes from the machine's clock and leaves in a file beside
 * the store, "PATH-clock". Each process holds a shared lock on that file for as long as it lives:
 * whoever gets an exclusive one is the first. So a step of the machine's clock counts once all
 * processes have ended. The lock is flock(): closing a file that SQLite has locked by fcntl() would
 * end SQLite's locks. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SUFFIX "-clock"

static int lock(int fd, int how)
{
    int code;

    while ((code = flock(fd, how)) && errno == EINTR)
        ;
    return code;
}

/* Several processes may write one after the other, as the change from the exclusive lock to the
 * shared one lets go of the file in between; while anyone has the shared lock the text stays. */
static bool agree(struct sqlite *q)
{
    char text[32] = "";

    if (lock(q->clock_fd, LOCK_EX | LOCK_NB) == 0) {
        snprintf(text, sizeof text, "%020lld\n", (long long)(clock_wall_us() - clock_boot_us()));
        if (pwrite(q->clock_fd, text, strlen(text), 0) != (ssize_t)strlen(text))
            return false;
    } else if (errno != EWOULDBLOCK) {
        return false;
    }
    if (lock(q->clock_fd, LOCK_SH) || pread(q->clock_fd, text, sizeof text - 1, 0) < 1)
        return false;
    q->clock_us = strtoll(text, NULL, 10);
    return true;
}

enum err sqlite_clock_open(struct sqlite *q)
{
    size_t size = strlen(q->path) + sizeof SUFFIX;
    char *path = mem_alloc(size);

    snprintf(path, size, "%s" SUFFIX, q->path);
    q->clock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool ok = q->clock_fd >= 0 && agree(q);
    if (!ok)
        log_error("the file %s cannot be used: %s; see that its folder is there and both are "
                  "writable for the server's user, or set --store",
                  path, strerror(errno));
    free(path);
    return ok ? ERR_OK : ERR_UNAVAILABLE;
}

void sqlite_clock_close(struct sqlite *q)
{
    if (q->clock_fd >= 0)
        close(q->clock_fd);
}

int64_t sqlite_now_ms(const struct sqlite *q)
{
    return (clock_boot_us() + q->clock_us) / 1000;
}
