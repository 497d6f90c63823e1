#include "common/listen.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    PASSED_FD = 3, /* the first passed socket, by sd_listen_fds(3) */
    PASSED_MAX = 64,
    IN_USE_MS = 2000, /* retry: children of a dead master may still hold the port */
    IN_USE_STEP_MS = 50
};

enum err listen_split(const char *text, struct listen_address *ret)
{
    const char *colon = strrchr(text, ':'), *host = text;
    size_t len = colon ? (size_t)(colon - text) : 0;
    struct listen_address a;

    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return ERR_INVALID;
    unsigned long port = strtoul(colon + 1, NULL, 10);
    if (port == 0 || port > 65535)
        return ERR_INVALID;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (memchr(host, ':', len) || (len && host[0] == '[')) {
        return ERR_INVALID; /* an IPv6 address needs brackets */
    }
    if (len >= sizeof a.host)
        return ERR_INVALID;
    memcpy(a.host, host, len);
    a.host[len] = '\0';
    snprintf(a.port, sizeof a.port, "%lu", port);
    *ret = a;
    return ERR_OK;
}

static int bind_one(const struct addrinfo *ai)
{
    const int on = 1;
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int bind_patiently(const struct addrinfo *ai)
{
    const struct timespec pause = {.tv_nsec = IN_USE_STEP_MS * 1000000L};
    int64_t end = clock_mono_ms() + IN_USE_MS;
    int fd;

    while ((fd = bind_one(ai)) < 0 && errno == EADDRINUSE && clock_mono_ms() < end)
        nanosleep(&pause, NULL);
    return fd;
}

/* Try a numeric host first: the resolver loads libraries that only names need. */
static int resolve(const struct listen_address *a, struct addrinfo **ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    const char *host = *a->host ? a->host : NULL;
    int failed = getaddrinfo(host, a->port, &hints, ret);

    if (failed != EAI_NONAME)
        return failed;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    return getaddrinfo(host, a->port, &hints, ret);
}

/* The first passed socket (LISTEN_FDS) if it is meant for this process; -1: none. */
static int passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

    if (!pid || !fds || strtol(pid, NULL, 10) != getpid())
        return -1;
    long n = strtol(fds, NULL, 10);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (long i = n < PASSED_MAX ? n - 1 : PASSED_MAX - 1; i >= 0; i--)
        fcntl(PASSED_FD + (int)i, F_SETFD, FD_CLOEXEC);
    int flags = n > 0 ? fcntl(PASSED_FD, F_GETFL) : -1;
    return flags >= 0 && fcntl(PASSED_FD, F_SETFL, flags | O_NONBLOCK) == 0 ? PASSED_FD : -1;
}

enum err listen_open(const char *program, const char *address, int *ret_fd)
{
    struct listen_address a;
    struct addrinfo *list;
    int fd = passed(), saved = 0;

    if (fd < 0 && listen_split(address, &a)) {
        fprintf(stderr,
                "%s: listen: '%s' is not HOST:PORT or [HOST]:PORT with a port from 1 to "
                "65535\n",
                program, address);
        return ERR_INVALID;
    }
    if (fd < 0) {
        int failed = resolve(&a, &list);
        if (failed) {
            fprintf(stderr, "%s: listen: %s: %s\n", program, address, gai_strerror(failed));
            return ERR_INVALID;
        }
        fd = bind_patiently(list);
        saved = errno;
        freeaddrinfo(list);
    }
    if (fd < 0) {
        fprintf(stderr, "%s: listen: %s: %s; choose another address with --listen\n", program,
                address, strerror(saved));
        return saved == EADDRINUSE ? ERR_UNAVAILABLE : ERR_INVALID;
    }
    *ret_fd = fd;
    return ERR_OK;
}

void listen_text(int fd, char out[LISTEN_TEXT_SIZE])
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;
    char host[48], port[8]; /* an IPv6 address has up to 45 characters */

    snprintf(out, LISTEN_TEXT_SIZE, "?");
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0 ||
        getnameinfo((const struct sockaddr *)&a, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(out, LISTEN_TEXT_SIZE, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

bool listen_is_public(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_storage room;
    } a = {0};
    socklen_t len = sizeof a;

    if (getsockname(fd, &a.any, &len) != 0)
        return false;
    if (a.any.sa_family == AF_INET)
        return ntohl(a.four.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
    if (a.any.sa_family != AF_INET6)
        return false; /* a Unix socket */
    if (IN6_IS_ADDR_V4MAPPED(&a.six.sin6_addr))
        return a.six.sin6_addr.s6_addr[12] != IN_LOOPBACKNET;
    return !IN6_IS_ADDR_LOOPBACK(&a.six.sin6_addr);
}

enum err listen_pass(int fd)
{
    char pid[24];

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    bool open = fd == PASSED_FD ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, PASSED_FD) == PASSED_FD;
    return open && setenv("LISTEN_PID", pid, 1) == 0 && setenv("LISTEN_FDS", "1", 1) == 0
               ? ERR_OK
               : ERR_INTERNAL;
}
