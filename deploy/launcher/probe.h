/* Repeats GET /readyz on the frontends' address until the answer is 200. One connection at a time;
 * never blocks: the caller polls. */
#ifndef DEPLOY_LAUNCHER_PROBE_H
#define DEPLOY_LAUNCHER_PROBE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* The outcome of the last try, for a message to the operator. */
enum probe_met {
    PROBE_SILENCE, /* no answer in time */
    PROBE_REFUSAL, /* another answer than 200: no worker, or its store is away */
    PROBE_READY
};

struct probe {
    struct sockaddr_storage to;
    socklen_t to_len;
    int fd;          /* -1: between tries */
    int64_t began;   /* ms; start of this or the last try */
    bool begun;      /* the PROXY header is sent, or none is needed */
    bool sent;       /* the request was sent */
    char reply[512]; /* the start of the answer */
    size_t reply_len;
    enum probe_met met;
    struct ssl_ctx_st *tls; /* NULL: plain HTTP */
    struct ssl_st *ssl;     /* of this try */
    bool proxies;           /* frontends may expect a PROXY header */
    bool header;            /* the next try sends one */
};

/* Prepares to ask on the address of this listening socket (the loopback one for a wildcard). `tls`:
 * ask by TLS without checking the certificate. `proxies`: try with and without a PROXY header in
 * turn. */
void probe_init(struct probe *p, int listen_fd, bool tls, bool proxies);

/* Takes the next step without blocking and updates p->met. `fd` gets what to poll for (fd -1:
 * nothing). Returns the ms after which to call again at the latest. */
int probe_step(struct probe *p, int64_t now, struct pollfd *fd);

/* Ends a running try. The probe must not be used afterwards. */
void probe_close(struct probe *p);

#endif
