#include "frontend/conn.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "frontend/acceptor.h"
#include "frontend/client.h"
#include "frontend/delivery.h"
#include "frontend/linger.h"
#include "frontend/pace.h"
#include "frontend/place.h"
#include "frontend/shut.h"
#include "frontend/tls.h"

#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KERNEL_UNSENT (128 * 1024) /* bytes that wait in the kernel, beside those under way */

/* "100 Continue". The library's write callback is off meanwhile: it would take the end of this
 * output for the end of an answer. The library sets it again with each answer. */
static void send_continue(struct conn *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *arg;

    c->intake.wants_continue = false;
    bufferevent_getcb(c->bev, &read_cb, &write_cb, &event_cb, &arg);
    bufferevent_setcb(c->bev, read_cb, NULL, event_cb, arg);
    mem_check(evbuffer_add(bufferevent_get_output(c->bev), text, sizeof text - 1) == 0);
    bufferevent_enable(c->bev, EV_WRITE);
}

/* Lets the intake parse on; true: the library got a head. */
static bool advance(struct conn *c)
{
    bool passed = intake_advance(&c->intake, bufferevent_get_input(c->bev));

    if (c->intake.wants_continue)
        send_continue(c);
    c->broken |= c->intake.over && c->intake.written;
    if (c->broken || c->intake.complete)
        event_active(c->hook, EV_TIMEOUT, 0);
    return passed;
}

/* Takes the PROXY header off the input; false: HTTP does not follow yet. */
static bool take_header(struct conn *c, struct evbuffer *input)
{
    uint8_t part[256];
    enum proxy2_result r = PROXY2_MORE;

    c->feeding = true;
    while (r == PROXY2_MORE && evbuffer_get_length(input)) {
        size_t wanted = proxy2_wants(c->client.header);
        int n = evbuffer_remove(input, part, wanted < sizeof part ? wanted : sizeof part);
        r = n > 0 ? client_take_header(c, part, (size_t)n) : PROXY2_BAD;
    }
    if (r == PROXY2_BAD)
        evbuffer_drain(input, evbuffer_get_length(input));
    else if (r == PROXY2_DONE)
        pace_opened(c);
    c->feeding = false;
    return r == PROXY2_DONE;
}

static void hold(struct conn *c)
{
    if (intake_waiting(&c->intake) > INTAKE_WAIT_MAX && intake_is_busy(&c->intake))
        bufferevent_disable(c->bev, EV_READ); /* the library reads on after the answer */
}

/* evbuffer callback on the library's input: moves new bytes to the intake, which may put a checked
 * head in their place. */
static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *c = arg;
    struct server *s = c->server;

    if (c->feeding || !info->n_added)
        return;
    if (c->client.header && !take_header(c, input))
        return;
    c->feeding = true;
    c->pace.came += info->n_added;
    size_t known = 0, came = evbuffer_get_length(input);
    if (came > info->n_added) {
        known = came - info->n_added;
        came = info->n_added;
    }
    if (known) /* the library has not read the last head yet */
        evbuffer_remove_buffer(input, s->kept, known);
    intake_take(&c->intake, input, came);
    if (known)
        evbuffer_add_buffer(input, s->kept);
    advance(c);
    c->feeding = false;
    hold(c);
    pace_look(c);
}

/* True while a whole request is served or may wait for the hook, or an answer is on the way. */
static bool owes_answer(const struct conn *c)
{
    return intake_is_busy(&c->intake) || event_pending(c->hook, EV_TIMEOUT, NULL) ||
           evbuffer_get_length(bufferevent_get_output(c->bev));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;

    /* The client has ended its sending side, and may wait for its answer. Whether it has left shows
     * when the answer is written; the end comes again when the library reads on. TLS tells it only
     * once (close_notify), and has stopped to write. */
    if ((what & BEV_EVENT_EOF) && !(what & BEV_EVENT_ERROR) && !c->polls && owes_answer(c)) {
        c->ended = c->tls;
        if (c->tls)
            bufferevent_enable(bev, EV_WRITE);
        return;
    }
    c->library.event(bev, what, c->evcon);
}

static void stand_in(struct conn *c, bool reads);

static void on_write(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    struct server *s = c->server;

    if (!c->library.write)
        return;
    s->writing = c;
    c->library.write(bev, c->evcon);
    if (s->writing) /* it was not closed behind its answer */
        stand_in(c, true);
    s->writing = NULL;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;

    if (c->library.read)
        c->library.read(bev, c->evcon);
}

/* Takes the place of the library's callbacks until it sets them anew, since it takes the end of the
 * client's sending side for the end of the client. `reads`: it hears that something came. */
static void stand_in(struct conn *c, bool reads)
{
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *arg;

    bufferevent_getcb(c->bev, &read_cb, &write_cb, &event_cb, &arg);
    if (event_cb != on_event)
        c->library = (struct library){read_cb, write_cb, event_cb};
    if (!reads)
        c->library.read = NULL;
    bufferevent_setcb(c->bev, on_read, write_cb ? on_write : NULL, on_event, c);
}

void conn_hold(struct conn *c)
{
    if (evbuffer_get_length(bufferevent_get_output(c->bev)))
        stand_in(c, false);
    hold(c);
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
    struct conn *c = arg;
    struct server *s = c->server;

    (void)evcon;
    if (c->exchange)
        s->client_gone(c->exchange);
    delivery_closed(c);
    if (s->writing == c)
        s->writing = NULL;
    if (intake_unread(&c->intake))
        linger_begin(&s->lingering, s->base, bufferevent_getfd(c->bev));
    HASH_DEL(s->conns, c);
    pace_leave(c);
    place_leave(c);
    client_free(&c->client);
    if (c->tls)
        tls_bye(c);
    /* TLS may be inside a failed write that changes its buffers after this call: remove our
     * callbacks. */
    evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);
    evbuffer_remove_cb(bufferevent_get_output(c->bev), pace_on_output, c);
    intake_done(&c->intake);
    event_free(c->hook);
    free(c);
    s->conns_len--;
    metric_set(M_HTTP_CONNECTIONS, 0, s->conns_len);
    conn_check_limit(s);
}

/* libevent has set up the connection: take it from the argument of its callbacks. */
static void set_up(struct conn *c)
{
    const struct config *cfg = c->server->cfg;
    const int unsent = KERNEL_UNSENT, patience = 2000 * (int)cfg->client_timeout;
    int fd = bufferevent_getfd(c->bev);
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *evcon;
    const int on = 1;

    bufferevent_getcb(c->bev, &read_cb, &write_cb, &event_cb, &evcon);
    c->evcon = evcon;
    HASH_ADD_PTR(c->server->conns, evcon, c);
    evhttp_connection_set_closecb(c->evcon, on_close, c);
    bufferevent_set_timeouts(c->bev, NULL, NULL); /* pace.h handles timeouts */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* Limits unsent bytes in the kernel: they cost memory and hide how fast the client reads. */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
    bool fits = client_accepted(c);
    c->opening = c->tls || c->client.header;
    if (c->tls && c->client.header)
        tls_expect_header(c);
    pace_look(c);
    if (!fits)
        shut(c, SHUT_ADDRESS);
    else if (!place_make_room(c))
        shut(c, SHUT_ROOM);
}

/* An answer is complete, and requests wait behind it. */
static void read_on(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);

    c->feeding = true;
    if (!c->tls) /* libevent's TLS does not freeze its buffers */
        evbuffer_unfreeze(input, 0);
    bool passed = advance(c);
    if (!c->tls)
        evbuffer_freeze(input, 0);
    c->feeding = false;
    hold(c);
    pace_look(c);
    if (passed)
        bufferevent_trigger(c->bev, EV_READ, 0); /* the library reads the head */
    else if (!intake_is_busy(&c->intake))
        bufferevent_enable(c->bev, EV_READ); /* on_event() may have passed over the end */
}

static void on_hook(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    if (!c->evcon)
        set_up(c);
    else if (c->broken)
        evhttp_connection_free(c->evcon);
    else if (c->failed)
        shut(c, SHUT_PROXY);
    else if (c->intake.complete)
        c->server->body_done(c);
    else
        read_on(c);
}

struct bufferevent *conn_accept(struct event_base *base, void *server)
{
    struct server *s = server;
    struct conn *c = mem_alloc(sizeof *c);

    c->server = s;
    c->tls = s->tls;
    c->bev = s->tls ? tls_bufferevent(s->tls, base, c) : bufferevent_socket_new(base, -1, 0);
    c->hook = event_new(base, -1, 0, on_hook, c);
    mem_check(c->bev && c->hook && evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c) &&
              evbuffer_add_cb(bufferevent_get_output(c->bev), pace_on_output, c));
    intake_init(&c->intake, &s->bodies);
    s->conns_len++;
    acceptor_took(s->acceptor);
    metric_set(M_HTTP_CONNECTIONS, 0, s->conns_len);
    conn_check_limit(s);
    /* Runs in this turn of the loop, before anything is read. */
    event_active(c->hook, EV_TIMEOUT, 0);
    return c->bev;
}

struct conn *conn_of(struct server *s, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    struct conn *c;

    HASH_FIND_PTR(s->conns, &evcon, c);
    return c;
}

/* The library has written the answer, and reads the next request from here on. */
static void on_answered(struct evhttp_request *req, void *arg)
{
    struct conn *c = arg;

    (void)req;
    delivery_written(c);
    intake_answered(&c->intake);
    place_lasts(c, false);
    client_answered(c);
    pace_look(c);
    c->broken |= c->intake.over || (c->ended && !intake_waiting(&c->intake));
    if (intake_waiting(&c->intake) || c->broken)
        event_active(c->hook, EV_TIMEOUT, 0);
}

struct intake_item *conn_claim(struct conn *c, struct evhttp_request *req)
{
    struct intake_item *item =
        c->broken ? NULL : intake_claim(&c->intake, evhttp_request_get_uri(req));

    if (item) {
        evhttp_request_set_on_complete_cb(req, on_answered, c);
        return item;
    }
    if (!c->broken)
        log_error(
            "closing a connection: the framing and the HTTP library disagree about a request; "
            "this is a defect, report it");
    c->broken = true;
    event_active(c->hook, EV_TIMEOUT, 0);
    return NULL;
}

void conn_let_body(struct conn *c)
{
    intake_let(&c->intake);
    pace_look(c);
    bufferevent_enable(c->bev, EV_READ);
    event_active(c->hook, EV_TIMEOUT, 0); /* parse what came meanwhile */
}

void conn_watch(struct conn *c)
{
    /* The library has disabled reading; its read callback must not run now. */
    c->polls = false;
    stand_in(c, false);
    bufferevent_enable(c->bev, EV_READ);
    hold(c);
}

void conn_close_idle(struct server *s)
{
    struct conn *c, *next;

    HASH_ITER (hh, s->conns, c, next)
        if (!c->exchange && intake_is_idle(&c->intake) &&
            evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
            evhttp_connection_free(c->evcon);
}

void conn_check_limit(struct server *s)
{
    /* Accept one above the limit: place_make_room() then decides which one to close. */
    acceptor_room(s->acceptor, s->conns_len <= s->places_max);
}
