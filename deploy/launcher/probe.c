#include "deploy/launcher/probe.h"

#include "common/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_MS = 20,
    /* Not shorter: frontends hold a waiting try and answer it as soon as a worker is there. */
    TRY_MS = 1000,
    STATUS_END = sizeof "HTTP/1.1 200" - 1
};

/* PROXY protocol version 2, command LOCAL: the address is the connection's own. */
static const char local_header[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0";

static const char request[] = "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";

/* A server on all addresses is asked on the loopback one. */
static void to_loopback(struct probe *p)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&p->to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&p->to;

    if (p->to.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (p->to.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        v6->sin6_addr = in6addr_loopback;
}

void probe_init(struct probe *p, int listen_fd, bool tls, bool proxies)
{
    *p = (struct probe){.fd = -1,
                        .began = INT64_MIN / 2,
                        .to_len = sizeof p->to,
                        .proxies = proxies,
                        .header = proxies};
    p->tls = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
    mem_check(p->tls || !tls);
    if (getsockname(listen_fd, (struct sockaddr *)&p->to, &p->to_len) == 0)
        to_loopback(p);
}

static void close_try(struct probe *p)
{
    SSL_free(p->ssl);
    p->ssl = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

void probe_close(struct probe *p)
{
    close_try(p);
    SSL_CTX_free(p->tls);
    p->tls = NULL;
}

static void end_try(struct probe *p, enum probe_met met)
{
    p->met = met;
    if (p->proxies && met != PROBE_READY)
        p->header = !p->header;
    close_try(p);
}

static void begin_try(struct probe *p, int64_t now)
{
    p->began = now;
    p->sent = false;
    p->reply_len = 0;
    p->begun = !p->header;
    p->fd = socket(p->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd >= 0 && connect(p->fd, (const struct sockaddr *)&p->to, p->to_len) != 0 &&
        errno != EINPROGRESS)
        end_try(p, PROBE_SILENCE);
}

/* Sends a few bytes, which an empty socket buffer takes as a whole. False: not yet, or the try
 * ended. */
static bool send_plain(struct probe *p, const char *data, size_t len)
{
    if (send(p->fd, data, len, MSG_NOSIGNAL) >= 0)
        return true;
    if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
        end_try(p, PROBE_SILENCE);
    return false;
}

/* After a TLS operation that returned `n`; true: repeat it later. */
static bool goes_on(const struct probe *p, int n)
{
    int e = SSL_get_error(p->ssl, n);

    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

static bool send_tls(struct probe *p)
{
    if (!p->ssl) {
        p->ssl = SSL_new(p->tls);
        mem_check(p->ssl && SSL_set_fd(p->ssl, p->fd) == 1);
        SSL_set_connect_state(p->ssl);
    }
    ERR_clear_error();
    int n = SSL_write(p->ssl, request, sizeof request - 1);
    if (n <= 0 && !goes_on(p, n))
        end_try(p, PROBE_SILENCE);
    return n > 0;
}

static void send_request(struct probe *p)
{
    if (!p->begun)
        p->begun = send_plain(p, local_header, sizeof local_header);
    if (p->begun && p->fd >= 0)
        p->sent = p->tls ? send_tls(p) : send_plain(p, request, sizeof request - 1);
}

/* Number of bytes; 0 or -1: end of the stream; -2: none yet. */
static ssize_t receive(struct probe *p)
{
    char *to = p->reply + p->reply_len;
    size_t room = sizeof p->reply - p->reply_len;

    if (p->tls) {
        ERR_clear_error();
        int n = SSL_read(p->ssl, to, (int)room);
        return n <= 0 && goes_on(p, n) ? -2 : n;
    }
    ssize_t n = read(p->fd, to, room);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? -2 : n;
}

static void take_reply(struct probe *p)
{
    ssize_t n = receive(p);

    if (n == -2)
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
    /* A TLS handshake that waits always waits for the peer. */
    *fd = (struct pollfd){.fd = p->fd, .events = p->sent || p->ssl ? POLLIN : POLLOUT};
    int64_t due = p->began + (p->fd >= 0 ? TRY_MS : PAUSE_MS) - now;
    return due > 0 ? (int)due : 0;
}
