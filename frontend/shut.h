/* Closes connections that exceed a limit; counts and logs them. */
#ifndef FRONTEND_SHUT_H
#define FRONTEND_SHUT_H

#include "frontend/server.h"

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

/* Names the label for the metrics; before metrics_share. */
void shut_name_metrics(void);

/* Closes and frees a connection. */
void shut(struct conn *c, enum shut_reason why);

/* Call it each second: logs closed connections, at most a line a reason in ten seconds. */
void shut_tick(void);

#endif
