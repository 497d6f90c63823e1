#include "deploy/launcher/probe.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_MS = 20,
    /* A try that waits is not in vain: it is answered as soon as a worker is there. */
    TRY_MS = 1000,
    STATUS_END = sizeof "HTTP/1.1 200" - 1
};

static const char request[] = "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";

/* Numbers first: asking a resolver loads libraries that only names need. */
static int resolve(const struct plan_address *listen, struct addrinfo **ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    int e = getaddrinfo(listen->host, listen->port, &hints, ret);

    if (e != EAI_NONAME)
        return e;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    return getaddrinfo(listen->host, listen->port, &hints, ret);
}

/* 0, or why nobody can listen there. Who answers on a port that is in use is another server. */
static int try_bind(const struct addrinfo *a)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = 0;

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0)
        failed = errno;
    close(fd);
    return failed;
}

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

enum err probe_init(struct probe *p, const struct plan_address *listen,
                    char reason[PLAN_REASON_SIZE])
{
    struct addrinfo *list = NULL;
    int e = resolve(listen, &list);

    *p = (struct probe){.fd = -1, .began = INT64_MIN / 2};
    if (e) {
        snprintf(reason, PLAN_REASON_SIZE, "listen: the host %.255s is unknown: %s", listen->host,
                 gai_strerror(e));
        return ERR_INVALID;
    }
    int failed = try_bind(list);
    memcpy(&p->to, list->ai_addr, list->ai_addrlen);
    p->to_len = list->ai_addrlen;
    freeaddrinfo(list);
    to_loopback(p);
    if (!failed)
        return ERR_OK;
    snprintf(reason, PLAN_REASON_SIZE,
             "listen: cannot listen on %.255s port %s: %s; choose another address with --listen",
             listen->host, listen->port, strerror(failed));
    return ERR_INVALID;
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
        end_try(p, PROBE_NOBODY);
}

/* A request of a few bytes goes into the empty buffer of a new connection as a whole. */
static void send_request(struct probe *p)
{
    ssize_t n = send(p->fd, request, sizeof request - 1, MSG_NOSIGNAL);

    if (n >= 0)
        p->sent = true;
    else if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
        end_try(p, PROBE_NOBODY);
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
        end_try(p, p->sent ? PROBE_SILENCE : PROBE_NOBODY);
    *fd = (struct pollfd){.fd = p->fd, .events = p->sent ? POLLIN : POLLOUT};
    int64_t due = p->began + (p->fd >= 0 ? TRY_MS : PAUSE_MS) - now;
    return due > 0 ? (int)due : 0;
}
