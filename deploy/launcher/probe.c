#include "deploy/launcher/probe.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_MS = 20,
    /* A try that waits is not in vain: it is answered as soon as a worker is there. */
    TRY_MS = 1000,
    STATUS_END = sizeof "HTTP/1.1 200" - 1
};

static const char request[] = "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";

/* Who listens on all addresses is reached on the loopback one. */
static void to_loopback(struct probe *p)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&p->to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&p->to;

    if (p->to.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (p->to.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        v6->sin6_addr = in6addr_loopback;
}

void probe_init(struct probe *p, int listen_fd)
{
    *p = (struct probe){.fd = -1, .began = INT64_MIN / 2, .to_len = sizeof p->to};
    if (getsockname(listen_fd, (struct sockaddr *)&p->to, &p->to_len) == 0)
        to_loopback(p);
}

void probe_close(struct probe *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static void end_try(struct probe *p, enum probe_met met)
{
    p->met = met;
    probe_close(p);
}

static void begin_try(struct probe *p, int64_t now)
{
    p->began = now;
    p->sent = false;
    p->reply_len = 0;
    p->fd = socket(p->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd >= 0 && connect(p->fd, (const struct sockaddr *)&p->to, p->to_len) != 0 &&
        errno != EINPROGRESS)
        end_try(p, PROBE_SILENCE);
}

/* A request of a few bytes goes into the empty buffer of a new connection as a whole. */
static void send_request(struct probe *p)
{
    ssize_t n = send(p->fd, request, sizeof request - 1, MSG_NOSIGNAL);

    if (n >= 0)
        p->sent = true;
    else if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
        end_try(p, PROBE_SILENCE);
}

static void take_reply(struct probe *p)
{
    ssize_t n = read(p->fd, p->reply + p->reply_len, sizeof p->reply - p->reply_len);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end_try(p, PROBE_SILENCE);
        return;
    }
    p->reply_len += (size_t)n;
    if (p->reply_len >= STATUS_END)
        end_try(p, memcmp(p->reply + STATUS_END - 4, " 200", 4) == 0 ? PROBE_READY : PROBE_REFUSAL);
}

int probe_step(struct probe *p, int64_t now, struct pollfd *fd)
{
    if (p->fd < 0 && now - p->began >= PAUSE_MS)
        begin_try(p, now);
    if (p->fd >= 0 && !p->sent)
        send_request(p);
    if (p->fd >= 0 && p->sent)
        take_reply(p);
    if (p->fd >= 0 && now - p->began >= TRY_MS)
        end_try(p, PROBE_SILENCE);
    *fd = (struct pollfd){.fd = p->fd, .events = p->sent ? POLLIN : POLLOUT};
    int64_t due = p->began + (p->fd >= 0 ? TRY_MS : PAUSE_MS) - now;
    return due > 0 ? (int)due : 0;
}
