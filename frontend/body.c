#include "frontend/body.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SMALL = 4096 /* bytes that are copied together: one read, for which a chain has 8 KiB */
};

enum err body_begin(struct body *b, struct body_limits *limits, bool spools)
{
    *b = (struct body){.limits = limits, .fd = -1};
    if (!spools)
        return ERR_OK;
    b->fd = open(limits->spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (b->fd >= 0)
        return ERR_OK;
    log_error("cannot make a temporary file in %s: %s; check the folder, or name another with "
              "--spool",
              limits->spool, strerror(errno));
    return ERR_FULL;
}

static enum err to_memory(struct body *b, struct evbuffer *from, uint64_t n)
{
    struct body_limits *l = b->limits;

    if (n > l->memory_max || l->memory_used > l->memory_max - n) {
        evbuffer_drain(from, n);
        return ERR_FULL;
    }
    l->memory_used += n;
    b->reserved += n;
    if (!b->mem && !(b->mem = evbuffer_new()))
        abort();
    if (n > SMALL) {
        evbuffer_remove_buffer(from, b->mem, n);
        return ERR_OK;
    }
    char small[SMALL];
    evbuffer_remove(from, small, n);
    if (evbuffer_add(b->mem, small, n) != 0)
        abort();
    return ERR_OK;
}

static enum err to_file(struct body *b, struct evbuffer *from, uint64_t n)
{
    while (n) {
        int written = evbuffer_write_atmost(from, b->fd, (ev_ssize_t)n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log_error(
                "cannot write to a temporary file in %s: %s; make room there, or name another "
                "folder with --spool",
                b->limits->spool, strerror(errno));
            evbuffer_drain(from, n);
            return ERR_FULL;
        }
        n -= (uint64_t)written;
    }
    return ERR_OK;
}

enum err body_take(struct body *b, struct evbuffer *from, uint64_t n)
{
    if (!n)
        return ERR_OK;
    b->len += n;
    return b->fd >= 0 ? to_file(b, from, n) : to_memory(b, from, n);
}

void body_free(struct body *b)
{
    if (b->mem)
        evbuffer_free(b->mem);
    if (b->fd >= 0)
        close(b->fd);
    if (b->limits)
        b->limits->memory_used -= b->reserved;
    *b = (struct body){.limits = b->limits, .fd = -1};
}
