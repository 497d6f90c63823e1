#include "frontend/linger.h"

#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

enum {
    LINGER_MS = 5000,
    LINGER_BYTES = 16 * 1024 * 1024,
    LINGER_MAX = 64, /* sockets, from the descriptors beside the connections' */
    READS = 16       /* in one turn of the loop */
};

struct late_socket {
    struct lingering *all;
    struct event *readable;
    int fd;
    int64_t end;  /* ms, monotonic */
    int64_t left; /* bytes */
    struct late_socket *prev, *next;
};

static void end(struct late_socket *l)
{
    DL_DELETE(l->all->sockets, l);
    l->all->len--;
    event_free(l->readable);
    close(l->fd);
    free(l);
}

static void wait_on(struct late_socket *l, int64_t now)
{
    int64_t ms = l->end - now;
    const struct timeval rest = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    event_add(l->readable, &rest);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static char dropped[65536];
    struct late_socket *l = arg;
    int64_t now = clock_mono_ms();
    ssize_t n = 1;

    (void)what;
    for (int i = 0; i < READS && n > 0 && l->left > 0; i++)
        if ((n = recv(fd, dropped, sizeof dropped, MSG_DONTWAIT)) > 0)
            l->left -= n;
    bool closed = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (closed || l->left <= 0 || now >= l->end)
        end(l);
    else
        wait_on(l, now);
}

void linger_begin(struct lingering *all, struct event_base *base, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0)
        return; /* no descriptor: it is closed at once */
    struct late_socket *l = mem_alloc(sizeof *l);
    *l = (struct late_socket){
        .all = all, .fd = copy, .end = clock_mono_ms() + LINGER_MS, .left = LINGER_BYTES};
    l->readable = event_new(base, copy, EV_READ, on_readable, l);
    mem_check(l->readable);
    DL_APPEND(all->sockets, l);
    all->len++;
    wait_on(l, clock_mono_ms());
    if (all->len > LINGER_MAX)
        end(all->sockets);
}

void linger_end_all(struct lingering *all)
{
    while (all->sockets)
        end(all->sockets);
}
