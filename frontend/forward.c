#include "frontend/forward.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/message.h"
#include "common/metrics.h"
#include "common/op.h"
#include "common/random.h"
#include "frontend/client.h"
#include "frontend/download.h"
#include "frontend/follow.h"
#include "frontend/local.h"
#include "frontend/park.h"
#include "frontend/spool.h"
#include "frontend/subject.h"
#include "frontend/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include <uuid/uuid.h>

#define READYZ_MS 3000 /* deadline of OP_READYZ: probes wait no longer */
#define ROOM_MS   20   /* between looks whether there is memory for a large body */

/* ---- keys ---- */

static void take_key(struct link_request *link, struct text key)
{
    link->key_len = key.len < BUS_KEY_MAX ? key.len : BUS_KEY_MAX;
    memcpy(link->key, key.s, link->key_len);
}

/* Requests with the same key (queue or job) go to the same broker and share a bundle. */
static void set_key(struct link_request *link, const struct route *route, const struct request *r)
{
    if ((route_flags(route) & ROUTE_BY_JOB) && r->params_len)
        take_key(link, r->params[0]);
    if (!(route_flags(route) & ROUTE_BY_QUEUE))
        return;
    for (size_t i = 0; i < r->query_len; i++) {
        struct text name = r->query[i].name, value = r->query[i].value;
        if (name.len == strlen("queue") && memcmp(name.s, "queue", name.len) == 0) {
            take_key(link, value);
            return;
        }
    }
}

/* ---- packing ---- */

static void pack_failed(void)
{
    log_error("cannot pack a request; this is a defect, report it");
    abort();
}

/* Reserves the memory of the packed request. A small body gives up its own for it. */
static bool hold(struct exchange *x, uint64_t size)
{
    struct tenant *t = x->conn->intake.tenant;

    if (x->body.len > BODY_MEMORY_MAX)
        return budget_take(&x->held, t, size);
    if (x->body.len)
        budget_force(&x->held, t, size);
    return true;
}

/* Packs head and body; ERR_FULL: no memory now. */
static enum err pack(struct exchange *x, const struct request *r)
{
    size_t len = (size_t)x->body.len;
    msgpack_sbuffer head;

    msgpack_sbuffer_init(&head);
    if (request_pack_head(r, len, &head))
        pack_failed();
    size_t size = head.size;
    if (!len) {
        message_of(&x->link.payload, &head);
        return ERR_OK;
    }
    enum err e = size + len > BUS_MESSAGE_MAX ? ERR_TOO_LARGE
                 : hold(x, size + len)        ? ERR_OK
                                              : ERR_FULL;
    if (!e) {
        message_new(&x->link.payload, size + len);
        char *to = zmq_msg_data(&x->link.payload);
        memcpy(to, head.data, size);
        if (body_read(&x->body, 0, to + size, len) != (ssize_t)len) {
            zmq_msg_close(&x->link.payload);
            e = ERR_INTERNAL;
        }
        if (!e)
            body_free(&x->body);
    }
    msgpack_sbuffer_destroy(&head);
    return e;
}

/* Fills in the fields that the parser does not know. */
static void complete(struct exchange *x, struct request *r)
{
    client_complete(x->conn, r);
    r->received_us = clock_wall_us();
    memcpy(r->id, x->id, sizeof x->id);
}

/* ---- sending ---- */

static void set_link(struct exchange *x, const struct request *r)
{
    uuid_t id;

    uuid_parse(x->id, id);
    memcpy(x->link.id, id, sizeof x->link.id);
    x->link.service = route_service(x->route);
    x->link.timeout_ms = x->server->cfg->request_timeout;
    if (route_op(x->route) == OP_READYZ && x->link.timeout_ms > READYZ_MS)
        x->link.timeout_ms = READYZ_MS;
    set_key(&x->link, x->route, r);
    x->link.origin = subject_origin(r->peer);
    x->link.subject = subject_of(r);
}

static void wait_for_room(struct exchange *x);

/* Sends the complete request. */
static void send_it(struct exchange *x, struct request *r)
{
    complete(x, r);
    set_link(x, r);
    if (x->kind->begin && !x->kind->begin(x, r))
        return;
    if (!route_body_limit(x->route)) /* the route takes no body: drop it */
        body_free(&x->body);
    enum err e = pack(x, r);
    if (e == ERR_FULL) {
        wait_for_room(x);
    } else if (e) {
        exchange_end(x, e, NULL);
    } else {
        if (x->kind->packed)
            x->kind->packed(x);
        link_send(x->server->link, &x->link);
    }
}

/* Parse the head again: keeping struct parsed takes more memory than most bodies. */
static void send_parsed(struct exchange *x)
{
    static struct parsed p; /* large */

    request_parse(x->req, (struct text){x->item->target, x->item->target_len}, true, &p);
    send_it(x, &p.request);
    request_parsed_free(&p);
}

/* ---- large bodies that wait for memory ---- */

static void leave(struct exchange *x)
{
    DL_DELETE(x->server->for_room, x);
    x->client_gone = NULL;
}

static void gone_waiting(struct exchange *x)
{
    leave(x);
    exchange_free(x);
}

/* Oldest first. Skips one without room: its address may have used its share. */
void forward_look_for_room(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    struct exchange *x, *next, *all = s->for_room;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    s->for_room = NULL; /* who finds no room comes back in the same order */
    DL_FOREACH_SAFE(all, x, next)
    {
        DL_DELETE(all, x);
        x->client_gone = NULL;
        if (now < x->give_up)
            send_parsed(x);
        else
            exchange_end(x, ERR_FULL, NULL);
    }
}

static void wait_for_room(struct exchange *x)
{
    struct server *s = x->server;
    const struct timeval pause = {.tv_usec = ROOM_MS * 1000};

    if (!x->give_up)
        x->give_up = clock_mono_ms() + s->cfg->request_timeout;
    x->client_gone = gone_waiting;
    DL_APPEND(s->for_room, x);
    event_add(s->look_for_room, &pause);
}

/* ---- bodies that are asked for ---- */

/* Refuses the body: the client gets its answer at once. */
static void refuse(struct exchange *x, enum err e, const struct reply *reply)
{
    bool stays = intake_refuse(&x->conn->intake, !e && reply->status < 400);

    if (!stays)
        exchange_close_after(x);
    exchange_end(x, e, reply);
}

static void let(struct exchange *x)
{
    x->client_gone = exchange_free;
    conn_let_body(x->conn);
}

static void on_asked(struct link_request *r, enum err e, const struct reply *reply)
{
    struct exchange *x = (struct exchange *)r;

    x->link = (struct link_request){.done = x->kind->reply};
    if (!x->req)
        exchange_free(x);
    else if (e || reply->status != ASK_GO_ON)
        refuse(x, e, reply);
    else if (x->conn->intake.left > BODY_MEMORY_MAX &&
             !spool_has_room(x->conn->intake.tenant, x->conn->intake.left))
        refuse(x, ERR_NO_ROOM, NULL);
    else
        let(x);
}

/* Asks a worker whether to read the body. OP_ASK has its own id on the bus, so that its late reply
 * is not taken for the reply to the request. */
static void ask(struct exchange *x, struct request *r)
{
    char about[128];
    msgpack_sbuffer out;
    uuid_t id;

    complete(x, r);
    snprintf(about, sizeof about, "%s %s", route_name(x->route), x->id);
    random_uuid(id);
    uuid_print(id, r->id);
    r->op = OP_ASK;
    r->body = (struct text){about, strlen(about)};
    msgpack_sbuffer_init(&out);
    if (request_pack(r, &out))
        pack_failed();
    x->link = (struct link_request){.service = route_service(route_of(OP_ASK)),
                                    .timeout_ms = x->server->cfg->request_timeout,
                                    .origin = subject_origin(r->peer),
                                    .done = on_asked};
    memcpy(x->link.id, id, sizeof x->link.id);
    message_of(&x->link.payload, &out);
    link_send(x->server->link, &x->link);
}

static void answer_verdict(struct exchange *x, int verdict)
{
    static struct parsed p; /* large */
    struct local_answer local;

    request_parse(x->req, (struct text){x->item->target, x->item->target_len}, true, &p);
    local_verdict(&local, verdict, &p);
    request_parsed_free(&p);
    if (x->conn->intake.unread)
        exchange_close_after(x);
    exchange_end(x, ERR_OK, &local.reply);
}

void forward_body(struct conn *c)
{
    struct exchange *x = c->exchange;
    int verdict = intake_body(&c->intake, &x->body);

    x->client_gone = NULL;
    x->began_us = metrics_are_on() ? clock_mono_us() : 0;
    if (verdict)
        answer_verdict(x, verdict);
    else
        send_parsed(x);
}

/* ---- the beginning ---- */

static const struct exchange_kind *kind_of(const struct route *route)
{
    return route_flags(route) & ROUTE_UPLOAD     ? &upload_kind
           : route_flags(route) & ROUTE_DOWNLOAD ? &download_kind
           : route_flags(route) & ROUTE_PARTS    ? &parts_kind
           : route_flags(route) & ROUTE_FOLLOW   ? &follow_kind
           : route_op(route) == OP_JOB_CLAIM     ? &park_kind
                                                 : &exchange_plain;
}

void forward_begin(struct conn *c, struct evhttp_request *req, struct parsed *p,
                   struct intake_item *item, const char id[REQUEST_ID_SIZE])
{
    struct exchange *x = exchange_new(kind_of(p->route));

    memcpy(x->id, id, sizeof x->id);
    x->server = c->server;
    x->conn = c;
    x->req = req;
    x->route = p->route;
    x->method = request_method(req);
    x->item = item;
    x->body = item->body;
    body_begin(&item->body, false);
    x->began_us = metrics_are_on() ? clock_mono_us() : 0;
    c->exchange = x;
    conn_watch(c);
    if (item->ask)
        ask(x, &p->request);
    else if (item->coming)
        let(x);
    else
        send_it(x, &p->request);
}
