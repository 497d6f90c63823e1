/* Asks GET /readyz on the address that the frontends listen on, again and again until the answer
 * is 200. One connection at a time, never blocking; the caller polls. */
#ifndef DEPLOY_LAUNCHER_PROBE_H
#define DEPLOY_LAUNCHER_PROBE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* What the last try has met; for a message to the operator. */
enum probe_met {
    PROBE_SILENCE, /* no answer within the time */
    PROBE_REFUSAL, /* an answer other than 200: no worker with a store that answers */
    PROBE_READY
};

struct probe {
    struct sockaddr_storage to;
    socklen_t to_len;
    int fd;          /* -1: between two tries */
    int64_t began;   /* ms; of this try, or of the last one */
    bool begun;      /* the PROXY header is sent, or none is needed */
    bool sent;       /* the request is on its way */
    char reply[512]; /* its beginning */
    size_t reply_len;
    enum probe_met met;
    struct ssl_ctx_st *tls; /* NULL: plain HTTP */
    struct ssl_st *ssl;     /* of this try */
    bool proxies;           /* a PROXY header may be expected of this machine's own addresses */
    bool header;            /* the next try begins with one */
};

/* Will ask on the address of this listening socket; one that stands for all of the machine's
 * becomes the loopback one. `tls`: the frontends speak TLS, whose certificate is not checked.
 * `proxies`: they may expect a PROXY header; tries are made with and without one. */
void probe_init(struct probe *p, int listen_fd, bool tls, bool proxies);

/* Does what can be done now; p->met tells how far it came. `fd` gets what to poll for (its fd is
 * -1 when there is nothing). Returns the ms to the next call at most. */
int probe_step(struct probe *p, int64_t now, struct pollfd *fd);

/* Ends a try that is under way; no further one may follow. */
void probe_close(struct probe *p);

#endif
