/* The connections of the metrics port: their number is bounded, and a failed accept is no reason to
 * spin. */
#ifndef COMMON_MONITOR_CONNS_H
#define COMMON_MONITOR_CONNS_H

#include <event2/http.h>

/* A further connection takes the place of the oldest one. */
#define MONITOR_CONNS_MAX 128

struct monitor_conns;

/* Looks after the connections of `http`; before it is bound. A process has one of these. NULL: out
 * of memory. */
struct monitor_conns *monitor_conns_new(struct event_base *base, struct evhttp *http);
/* Its socket. */
void monitor_conns_bound(struct monitor_conns *all, struct evhttp_bound_socket *bound);
/* After evhttp_free. may be NULL. */
void monitor_conns_free(struct monitor_conns *all);

#endif
