#include "frontend/body.h"

#include "common/log.h"
#include "common/mem.h"
#include "frontend/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY_MIN = 1024 }; /* first allocation; doubled as the body grows */

void body_begin(struct body *b, bool spools)
{
    *b = (struct body){.fd = -1, .spools = spools};
}

/* Makes room for n more bytes in memory; false: no room in the budget. */
static bool grow(struct body *b, struct tenant *t, uint64_t n)
{
    size_t cap = b->cap ? b->cap : MEMORY_MIN;

    while (cap < b->len + n)
        cap *= 2;
    if (cap == b->cap)
        return true;
    if (!budget_take(&b->held, t, cap - b->cap))
        return false;
    b->mem = mem_realloc(b->mem, cap);
    b->cap = cap;
    return true;
}

static void free_memory(struct body *b)
{
    free(b->mem);
    b->mem = NULL;
    b->cap = 0;
    budget_give(&b->held, 0);
}

static enum err write_failed(int fault)
{
    spool_log_write(fault);
    return ERR_NO_ROOM;
}

/* Starts the file with the bytes in memory. */
static enum err open_file(struct body *b)
{
    if ((b->fd = spool_open()) < 0)
        return ERR_NO_ROOM;
    for (size_t done = 0; done < b->len;) {
        ssize_t n = write(b->fd, b->mem + done, b->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return write_failed(n < 0 ? errno : ENOSPC);
        done += (size_t)n;
    }
    free_memory(b);
    return ERR_OK;
}

static enum err to_file(struct body *b, struct evbuffer *from, uint64_t n)
{
    while (n) {
        int written = evbuffer_write_atmost(from, b->fd, (ev_ssize_t)n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int fault = written < 0 ? errno : ENOSPC;
            evbuffer_drain(from, n);
            return write_failed(fault);
        }
        n -= (uint64_t)written;
    }
    return ERR_OK;
}

enum err body_take(struct body *b, struct tenant *t, struct evbuffer *from, uint64_t n)
{
    enum err e = ERR_OK;

    if (!n)
        return ERR_OK;
    if (b->fd < 0 && b->len + n <= BODY_MEMORY_MAX && grow(b, t, n)) {
        evbuffer_remove(from, b->mem + b->len, n);
        b->len += n;
        return ERR_OK;
    }
    if (!b->spools)
        e = ERR_FULL;
    else if (!spool_take(&b->spooled, t, b->fd < 0 ? b->len + n : n))
        e = ERR_NO_ROOM;
    if (e) {
        evbuffer_drain(from, n);
        return e;
    }
    if (b->fd < 0 && (e = open_file(b))) {
        evbuffer_drain(from, n);
    }
    b->len += n;
    return e ? e : to_file(b, from, n);
}

ssize_t body_read(const struct body *b, uint64_t at, void *out, size_t n)
{
    size_t done = 0;

    if (at > b->len)
        at = b->len;
    if (n > b->len - at)
        n = b->len - at;
    if (b->fd < 0) {
        if (n)
            memcpy(out, b->mem + at, n);
        return (ssize_t)n;
    }
    while (done < n) {
        ssize_t got = pread(b->fd, (char *)out + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            log_error("cannot read a temporary file of --spool: %s; check its disk",
                      got < 0 ? strerror(errno) : "it is shorter than it was");
            return -1;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

void body_free(struct body *b)
{
    free_memory(b);
    if (b->fd >= 0)
        spool_close(b->fd);
    if (b->spooled.bytes)
        spool_give(&b->spooled);
    *b = (struct body){.fd = -1};
}
