#include "frontend/http.h"

#include "common/beat.h"
#include "common/clock.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/prefork.h"
#include "frontend/acceptor.h"
#include "frontend/conn.h"
#include "frontend/delivery.h"
#include "frontend/exchange.h"
#include "frontend/follow.h"
#include "frontend/forward.h"
#include "frontend/pace.h"
#include "frontend/park.h"
#include "frontend/place.h"
#include "frontend/serve.h"
#include "frontend/shut.h"
#include "frontend/spool.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    SPARE_FDS = 128, /* descriptors beside the connections' */
    FILES_MIN = 64,  /* temporary files */
    LARGE_BLOCK = 128 * 1024,
    DRAIN_STEP_MS = 20,
    /* An idle client may be about to send a request: let it get its answer, which says that the
     * connection ends. */
    DRAIN_IDLE_MS = 1000
};

/* Drain: no new connections; answers close theirs; idle ones are closed; the rest is cut at the end
 * of --grace. */
struct drain {
    struct server *server;
    struct event *step;
    int64_t idle_end, end; /* ms */
};

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    struct drain *d = arg;
    struct server *s = d->server;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    if (now >= d->idle_end)
        conn_close_idle(s);
    if (now >= d->end)
        log_warn("cutting %zu connections: the time to finish is over; if their requests need "
                 "longer, raise --grace, after HUP --reload-timeout",
                 s->conns_len);
    if ((s->conns_len == 0 && s->lingering.len == 0 && link_pending(s->link) == 0 &&
         !delivery_pending(s->deliveries)) ||
        now >= d->end)
        event_base_loopbreak(s->base);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct drain *d = arg;
    struct server *s = d->server;
    const struct timeval every = {.tv_usec = DRAIN_STEP_MS * 1000};
    struct signalfd_siginfo told = {0};
    int64_t now = clock_mono_ms();

    (void)what;
    if (read(fd, &told, sizeof told) != sizeof told)
        return;
    /* A process replaced by HUP has --reload-timeout; a TERM in between shortens it to --grace. */
    int64_t seconds = told.ssi_signo == PREFORK_RETIRE ? s->cfg->reload_timeout : s->cfg->grace;
    int64_t end = now + seconds * 1000 - 500;
    if (!s->draining || end < d->end)
        d->end = end;
    if (s->draining)
        return;
    s->draining = true;
    acceptor_close(s->acceptor);
    park_close(s->park);
    streams_close(s->streams);
    d->idle_end = now + DRAIN_IDLE_MS < d->end ? now + DRAIN_IDLE_MS : now;
    event_add(d->step, &every);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;

    (void)fd;
    (void)what;
    pace_tick(s);
    shut_tick();
    acceptor_tick(s->acceptor);
}

static void on_library_log(int severity, const char *text)
{
    if (severity >= EVENT_LOG_ERR)
        log_error("libevent: %s", text);
    else if (severity == EVENT_LOG_WARN)
        log_warn("libevent: %s", text);
}

/* Raises the limit of open files to what is needed and allowed; returns for how many connections it
 * suffices. */
static size_t raise_fd_limit(const struct config *cfg)
{
    /* A connection may need a second descriptor for its body's temporary file. */
    rlim_t wanted = 2 * (rlim_t)cfg->max_connections + SPARE_FDS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return (size_t)cfg->max_connections;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    size_t room = limit.rlim_cur > 2 * SPARE_FDS ? limit.rlim_cur - SPARE_FDS : SPARE_FDS;
    if (room < (size_t)cfg->max_connections)
        log_warn("the limit of open files, %llu, leaves room for %zu connections: fewer than "
                 "--max-connections %lld; raise it (ulimit -n, LimitNOFILE)",
                 (unsigned long long)limit.rlim_cur, room, (long long)cfg->max_connections);
    return room;
}

/* Temporary files of bodies: the descriptors left by connections, and a minimum. */
static uint64_t files_max(const struct config *cfg)
{
    rlim_t others = (rlim_t)cfg->max_connections + SPARE_FDS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < others + FILES_MIN)
        return FILES_MIN;
    return limit.rlim_cur - others;
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    if (!config)
        return NULL;
    /* Reading is switched off and on for each request: batch the changes of one turn, they cancel
     * out. */
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST | EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* Limit of a client's silence, which includes the time of its request. */
static int silence_s(const struct config *cfg)
{
    int64_t served = cfg->request_timeout / 1000 + 5;

    return (int)(served > cfg->client_timeout ? served : cfg->client_timeout);
}

bool http_library(struct server *s)
{
    s->http = evhttp_new(s->base);
    s->kept = evbuffer_new();
    if (!s->http || !s->kept)
        return false;
    evhttp_set_allowed_methods(
        s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                     EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_PATCH);
    evhttp_set_max_headers_size(s->http, (ev_ssize_t)2 * HEAD_TOTAL_MAX);
    evhttp_set_max_body_size(s->http, 0); /* the intake reads the bodies */
    s->silence.tv_sec = silence_s(s->cfg);
    evhttp_set_bevcb(s->http, conn_accept, s);
    evhttp_set_gencb(s->http, serve_request, s);
    s->body_done = forward_body;
    s->client_gone = exchange_client_gone;
    return true;
}

static bool open_http(struct server *s, int listen_fd)
{
    const struct timeval every = {.tv_sec = BEAT_MS / 1000};

    if (!http_library(s))
        return false;
    s->acceptor = acceptor_new(s, listen_fd);
    s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
    if (!s->acceptor || !s->tick || event_add(s->tick, &every) != 0)
        return false;
    acceptor_tick(s->acceptor);
    return true;
}

static void close_server(struct server *s)
{
    if (s->tick)
        event_free(s->tick);
    if (s->acceptor)
        acceptor_close(s->acceptor); /* first: closing connections would admit others */
    if (s->http)
        evhttp_free(s->http);
    acceptor_free(s->acceptor);
    park_free(s->park);
    link_free(s->link);       /* pending requests are freed by their senders: */
    streams_free(s->streams); /* behind it, looks may be pending */
    delivery_stop(s->deliveries);
    if (s->kept)
        evbuffer_free(s->kept);
    linger_end_all(&s->lingering);
    if (s->look_for_room)
        event_free(s->look_for_room);
    if (s->base)
        event_base_free(s->base);
    spool_use(s->slot, 0); /* its files vanish with this process; its slot may stay empty */
}

static bool open_server(struct server *s, int listen_fd)
{
    event_set_log_callback(on_library_log);
    /* Return freed large blocks to the system: by default glibc keeps them once it has seen some.
     */
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    mallopt(M_TRIM_THRESHOLD, LARGE_BLOCK);
    mallopt(M_ARENA_MAX, 2);
    place_open(s, raise_fd_limit(s->cfg));
    spool_use(s->slot, files_max(s->cfg));
    s->bodies = (struct body_limits){.budget.max = (uint64_t)s->cfg->max_body_memory,
                                     .upload_max = (uint64_t)s->cfg->max_upload};
    s->origins = origin_rules(s->cfg, listen_is_public(listen_fd));
    s->base = new_base();
    if (!s->base) {
        log_error("cannot create an event loop; check the limit of open files");
        return false;
    }
    s->look_for_room = event_new(s->base, -1, 0, forward_look_for_room, s);
    s->link = link_new(s->base, s->cfg);
    s->deliveries = s->link ? delivery_start(s) : NULL;
    s->park = s->link ? park_new(s) : NULL;
    s->streams = streams_new(s);
    return s->deliveries && s->look_for_room && open_http(s, listen_fd);
}

int http_run(const struct config *cfg, unsigned slot, const struct http_setup *setup, int stop_fd)
{
    struct server s = {.cfg = cfg, .slot = slot, .tls = setup->tls, .proxies = setup->proxies};
    struct drain d = {.server = &s};
    struct event *stop = NULL;
    int status = 1;

    if (open_server(&s, setup->listen_fd)) {
        stop = event_new(s.base, stop_fd, EV_READ | EV_PERSIST, on_stop, &d);
        d.step = event_new(s.base, -1, EV_PERSIST, on_step, &d);
        if (stop && d.step && event_add(stop, NULL) == 0) {
            prefork_ready();
            status = event_base_dispatch(s.base) >= 0 ? 0 : 1;
        }
    }
    if (stop)
        event_free(stop);
    if (d.step)
        event_free(d.step);
    close_server(&s);
    return status;
}
