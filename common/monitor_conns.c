#include "common/monitor_conns.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    PAUSE_MS = 100,  /* after a failed accept, instead of spinning */
    QUIET_MS = 10000 /* between two lines about failed accepts */
};

struct monitor_conn {
    struct monitor_conns *all;
    struct bufferevent *bev;
    struct evhttp_connection *evcon; /* NULL until libevent has set it up */
    struct event *hook;              /* runs once it has */
    struct monitor_conn *prev, *next;
};

struct monitor_conns {
    struct event_base *base;
    struct evhttp_bound_socket *bound;
    struct event *again;        /* ends a pause of accepting */
    struct monitor_conn *conns; /* oldest first */
    size_t len;
    int64_t logged; /* ms; 0: never */
};

/* libevent passes evhttp's own argument to a listener's error callback, so ours must be global. */
static struct monitor_conns *the_conns;

static void forget(struct monitor_conn *c)
{
    DL_DELETE(c->all->conns, c);
    c->all->len--;
    event_free(c->hook);
    free(c);
}

static void on_close(struct evhttp_connection *evcon, void *conn)
{
    (void)evcon;
    forget(conn);
}

/* libevent has set up the connection: take it from the argument of its callbacks. */
static void on_hook(evutil_socket_t fd, short what, void *conn)
{
    struct monitor_conn *c = conn;
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *evcon;

    (void)fd;
    (void)what;
    bufferevent_getcb(c->bev, &read_cb, &write_cb, &event_cb, &evcon);
    c->evcon = evcon;
    evhttp_connection_set_closecb(c->evcon, on_close, c);
    struct monitor_conn *oldest = c->all->conns;
    if (c->all->len > MONITOR_CONNS_MAX && oldest->evcon)
        evhttp_connection_free(oldest->evcon);
}

static struct bufferevent *on_accept(struct event_base *base, void *conns)
{
    struct monitor_conn *c = mem_alloc(sizeof *c);

    c->all = conns;
    c->bev = bufferevent_socket_new(base, -1, 0);
    c->hook = event_new(base, -1, 0, on_hook, c);
    mem_check(c->bev && c->hook);
    DL_APPEND(c->all->conns, c);
    c->all->len++;
    event_active(c->hook, EV_TIMEOUT, 0); /* in this turn of the event loop */
    return c->bev;
}

static void on_error(struct evconnlistener *listener, void *http)
{
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    struct monitor_conns *all = the_conns;
    int fault = EVUTIL_SOCKET_ERROR();
    int64_t now = clock_mono_ms();

    (void)http;
    if (!all->logged || now - all->logged > QUIET_MS) {
        log_warn("cannot accept a connection for metrics: %s; trying again every %d ms. Raise the "
                 "limit of open files, of the process or of the system",
                 strerror(fault), PAUSE_MS);
        all->logged = now;
    }
    evconnlistener_disable(listener);
    event_add(all->again, &pause);
}

static void on_again(evutil_socket_t fd, short what, void *conns)
{
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    struct monitor_conns *all = conns;

    (void)fd;
    (void)what;
    if (evconnlistener_enable(evhttp_bound_socket_get_listener(all->bound)) != 0)
        event_add(all->again, &pause);
}

struct monitor_conns *monitor_conns_new(struct event_base *base, struct evhttp *http)
{
    struct monitor_conns *all = mem_alloc(sizeof *all);

    all->base = base;
    all->again = event_new(base, -1, 0, on_again, all);
    if (!all->again) {
        free(all);
        return NULL;
    }
    evhttp_set_bevcb(http, on_accept, all);
    the_conns = all;
    return all;
}

void monitor_conns_bound(struct monitor_conns *all, struct evhttp_bound_socket *bound)
{
    all->bound = bound;
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound), on_error);
}

void monitor_conns_free(struct monitor_conns *all)
{
    if (!all)
        return;
    while (all->conns) /* accepted in the previous turn of the event loop */
        forget(all->conns);
    event_free(all->again);
    free(all);
}
