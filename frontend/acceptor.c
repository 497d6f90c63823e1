#include "frontend/acceptor.h"

#include "common/beat.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_MS = 100,  /* after a failed accept, instead of spinning */
    QUIET_MS = 10000 /* between two lines about failed accepts */
};

struct acceptor {
    struct server *server;
    struct evhttp_bound_socket *bound; /* NULL: closed */
    struct event *again;               /* the end of a pause */
    bool room;
    bool resting;   /* within a pause after a failed accept */
    bool failing;   /* the last accept failed */
    int64_t failed; /* when that was, ms */
    int64_t logged;
};

/* libevent passes evhttp's own argument to a listener's error callback, so ours is global: a
 * process has one acceptor. */
static struct acceptor *the_acceptor;

/* Enables or disables accepting, as the state says. */
static void apply(struct acceptor *a)
{
    bool on = a->room && !a->resting;

    if (!a->bound)
        return;
    struct evconnlistener *listener = evhttp_bound_socket_get_listener(a->bound);
    if ((on ? evconnlistener_enable(listener) : evconnlistener_disable(listener)) != 0)
        log_error("cannot %s the listener; trying again each second", on ? "enable" : "disable");
    beat_paused(!a->room || a->failing);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;

    (void)fd;
    (void)what;
    a->resting = false;
    apply(a);
}

/* After EMFILE, ENFILE, ENOBUFS, ENOMEM…: pauses, then tries again. */
static void on_error(struct evconnlistener *listener, void *http)
{
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    struct acceptor *a = the_acceptor;
    int fault = EVUTIL_SOCKET_ERROR();
    int64_t now = clock_mono_ms();

    (void)listener;
    (void)http;
    if (!a->logged || now - a->logged > QUIET_MS) {
        log_warn("cannot accept a connection: %s; trying again every %d ms. %s", strerror(fault),
                 PAUSE_MS,
                 fault == EMFILE   ? "Raise the process's limit of open files (ulimit -n)"
                 : fault == ENFILE ? "Raise the system's limit of open files (fs.file-max)"
                                   : "Look at the machine's memory and network limits");
        a->logged = now;
    }
    a->failing = a->resting = true;
    a->failed = now;
    apply(a);
    event_add(a->again, &pause);
}

struct acceptor *acceptor_new(struct server *s, int listen_fd)
{
    struct acceptor *a = mem_alloc(sizeof *a);

    *a = (struct acceptor){.server = s, .room = true};
    a->again = event_new(s->base, -1, 0, on_again, a);
    a->bound = a->again ? evhttp_accept_socket_with_handle(s->http, listen_fd) : NULL;
    if (!a->bound) {
        acceptor_free(a);
        return NULL;
    }
    the_acceptor = a;
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(a->bound), on_error);
    return a;
}

void acceptor_free(struct acceptor *a)
{
    if (!a)
        return;
    if (a->again)
        event_free(a->again);
    free(a);
}

void acceptor_room(struct acceptor *a, bool room)
{
    if (room == a->room)
        return;
    a->room = room;
    apply(a);
}

void acceptor_took(struct acceptor *a)
{
    beat_accepted();
    if (!a->failing)
        return;
    a->failing = false;
    beat_paused(!a->room);
}

void acceptor_tick(struct acceptor *a)
{
    /* Apply the state every second, so that no lost timer or event lasts. */
    if (a->resting && !event_pending(a->again, EV_TIMEOUT, NULL))
        a->resting = false;
    if (a->failing && !a->resting && clock_mono_ms() - a->failed > 5 * (int64_t)PAUSE_MS)
        a->failing = false; /* the queue is empty: another try would have failed, too */
    apply(a);
    beat_turn();
}

void acceptor_close(struct acceptor *a)
{
    if (a->bound)
        evhttp_del_accept_socket(a->server->http, a->bound);
    a->bound = NULL;
}
