/* Limits the connections of the metrics port, and pauses accepting after a failure instead of
 * spinning. */
#ifndef COMMON_MONITOR_CONNS_H
#define COMMON_MONITOR_CONNS_H

#include <event2/http.h>

/* At the limit, a new connection closes the oldest one. */
#define MONITOR_CONNS_MAX 128

struct monitor_conns;

/* Manages the connections of `http`; call it before the bind, once a process. NULL: out of memory.
 */
struct monitor_conns *monitor_conns_new(struct event_base *base, struct evhttp *http);
/* The listening socket. */
void monitor_conns_bound(struct monitor_conns *all, struct evhttp_bound_socket *bound);
/* Call it after evhttp_free. `c` may be NULL. */
void monitor_conns_free(struct monitor_conns *all);

#endif
