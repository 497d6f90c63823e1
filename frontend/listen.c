#include "frontend/listen.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "testflinger-frontend"

enum {
    BACKLOG = 1024,
    PASSED_FD = 3,    /* the first one that systemd passes */
    IN_USE_MS = 2000, /* the children of a master that died may still hold the port for a moment */
    IN_USE_STEP_MS = 50
};

struct address {
    char host[256];
    const char *port;
};

static enum err split(const char *text, struct address *ret)
{
    const char *colon = strrchr(text, ':'), *host = text;
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > 65535 || strtoul(colon + 1, NULL, 10) == 0)
        return ERR_INVALID;
    if (len > 1 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len >= sizeof ret->host)
        return ERR_INVALID;
    memcpy(ret->host, host, len);
    ret->host[len] = '\0';
    ret->port = colon + 1;
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

/* The socket of LISTEN_FDS when it was passed to this process; -1: none was. */
static int passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    int fd = PASSED_FD, flags;

    if (!pid || !fds || strtol(pid, NULL, 10) != getpid() || strtol(fds, NULL, 10) < 1)
        return -1;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC))
        return -1;
    return fd;
}

enum err listen_open(const char *address, int *ret_fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
    struct address a;

    *ret_fd = passed();
    if (*ret_fd >= 0)
        return ERR_OK;
    if (split(address, &a)) {
        fprintf(stderr, PROGRAM ": listen: '%s' is not HOST:PORT with a port from 1 to 65535\n",
                address);
        return ERR_INVALID;
    }
    int failed = getaddrinfo(*a.host ? a.host : NULL, a.port, &hints, &list);
    if (failed) {
        fprintf(stderr, PROGRAM ": listen: %s: %s\n", address, gai_strerror(failed));
        return ERR_INVALID;
    }
    *ret_fd = bind_patiently(list);
    int saved = errno;
    freeaddrinfo(list);
    if (*ret_fd >= 0)
        return ERR_OK;
    fprintf(stderr, PROGRAM ": listen: %s: %s\n", address, strerror(saved));
    return saved == EADDRINUSE ? ERR_UNAVAILABLE : ERR_INVALID;
}
