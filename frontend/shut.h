/* Closes connections that cost too much, counts and logs that. */
#ifndef FRONTEND_SHUT_H
#define FRONTEND_SHUT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct server;

/* The label "reason" of M_HTTP_CLOSED. */
enum shut_reason {
    SHUT_IDLE,    /* nothing has come for --client-timeout */
    SHUT_HEAD,    /* a head, PROXY header or TLS handshake took longer than --head-timeout */
    SHUT_BODY,    /* a body came slower than --min-rate */
    SHUT_ANSWER,  /* an answer was taken slower than --min-rate */
    SHUT_ADDRESS, /* its address has as many connections as it may */
    SHUT_PROXY,   /* a trusted proxy did not begin it with a PROXY header */
    SHUT_ROOM,    /* it made room for another one */
    SHUT_REASONS
};

/* What was closed for one reason and is not logged yet. */
struct shuts {
    size_t count;
    int64_t logged; /* ms */
    char last[INET6_ADDRSTRLEN];
};

/* Names the label; before the metrics are shared. */
void shut_name_metrics(void);

/* Closes a connection. Frees it. */
void shut(struct conn *c, enum shut_reason why);

/* Each second: logs what was closed, a line a reason every ten seconds at most. */
void shut_tick(struct server *s);

#endif
