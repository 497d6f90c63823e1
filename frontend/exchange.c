#include "frontend/exchange.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "frontend/delivery.h"
#include "frontend/download.h"
#include "frontend/local.h"
#include "frontend/park.h"
#include "frontend/request.h"
#include "frontend/subject.h"
#include "frontend/upload.h"

#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#define READYZ_MS     3000 /* who asks for it waits no longer */
#define CLIENT_ID_MAX 128  /* of an X-Request-Id that a client sends */

/* ---- answers ---- */

/* The id that the client gave its request, NULL: none, or none that may stand in a header or a log.
 */
static const char *client_id(struct evhttp_request *req)
{
    const char *id = evhttp_find_header(evhttp_request_get_input_headers(req), "X-Request-Id");
    size_t n = id ? strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789-_.:/+=")
                  : 0;

    return n > 0 && n <= CLIENT_ID_MAX && !id[n] ? id : NULL;
}

static void add_headers(struct server *s, struct evhttp_request *req, const struct reply *reply,
                        const char *id)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(req);
    const char *own = client_id(req);

    for (size_t i = 0; i < reply->headers_len; i++)
        evhttp_add_header(out, reply->headers[i].name, reply->headers[i].value);
    evhttp_add_header(out, "X-Request-Id", own ? own : id);
    /* What a job posted must not be taken for a page or a script. */
    evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
    if (s->draining)
        evhttp_add_header(out, "Connection", "close");
}

static void send_reply(struct conn *c, struct evhttp_request *req, const struct reply *reply,
                       const char *id)
{
    struct evbuffer *body = evbuffer_new();
    bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    char length[24];

    if (!body)
        abort(); /* out of memory, as in mem.c */
    add_headers(c->server, req, reply, id);
    if (head && reply->status != 204 && reply->status != 304) {
        snprintf(length, sizeof length, "%zu", reply->body.len);
        evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Length", length);
    } else if (!head && reply->body.len) {
        evbuffer_add(body, reply->body.s, reply->body.len);
    }
    evhttp_send_reply(req, reply->status, NULL, body);
    conn_hold(c);
    evbuffer_free(body);
}

void exchange_free(struct exchange *x)
{
    x->server->bodies.memory_used -= x->held;
    if (x->conn)
        x->conn->exchange = NULL;
    free(x);
}

/* Counts an answer; `began_us` 0: one without a hop. */
static void count(unsigned route, int status, int64_t began_us)
{
    metric_add(M_HTTP_REQUESTS, metric_route_status(route, status), 1);
    if (began_us)
        metric_time(M_HTTP_SECONDS, route, clock_mono_us() - began_us);
}

void exchange_count(const struct exchange *x, int status)
{
    count(x->route->op, status, x->began_us);
}

void exchange_headers(struct exchange *x, const struct reply *reply)
{
    add_headers(x->server, x->req, reply, x->id);
}

struct evhttp_request *exchange_detach(struct exchange *x)
{
    struct evhttp_request *req = x->req;

    if (x->conn)
        x->conn->exchange = NULL; /* the library may free the connection from within the answer */
    x->conn = NULL;
    x->req = NULL;
    return req;
}

void exchange_answer(struct exchange *x, const struct reply *reply)
{
    struct conn *c = x->conn;
    struct evhttp_request *req = exchange_detach(x);

    if (!req)
        return;
    send_reply(c, req, reply, x->id);
    exchange_count(x, reply->status);
}

void exchange_answer_err(struct exchange *x, enum err e)
{
    const char *own = x->req ? client_id(x->req) : NULL;
    struct local_answer local;

    const char *peer = x->conn ? x->conn->peer : "";
    if (log_admit(err_text(e), peer, strlen(peer))) {
        log_set_request(x->id);
        log_warn("%s %s: %s%s%s", http_method_name(x->route->method), x->route->path, err_text(e),
                 own ? "; the client calls it " : "", own ? own : "");
        log_set_request(NULL);
    }
    local_err(&local, e);
    exchange_answer(x, &local.reply);
}

void exchange_answer_claim(struct exchange *x, const struct reply *reply)
{
    struct local_answer none;

    if (x->req && !delivery_refused(x->conn)) {
        delivery_begin(x->conn, x->id);
        exchange_answer(x, reply);
        return;
    }
    delivery_return(x->server, x->id);
    local_none(&none);
    exchange_answer(x, &none.reply);
}

static void on_answer(struct link_request *r, enum err e, const struct reply *reply)
{
    struct exchange *x = (struct exchange *)r;

    if (e == ERR_TIMEOUT && x->route->op == OP_READYZ)
        e = ERR_NO_WORKER;
    if (e)
        exchange_answer_err(x, e);
    else if (reply->claimed)
        exchange_answer_claim(x, reply);
    else
        exchange_answer(x, reply);
    exchange_free(x);
}

void exchange_client_gone(struct exchange *x)
{
    metric_add(M_HTTP_GONE, 0, 1);
    /* The library frees the request with its connection, unless it has taken it out of it. */
    if (!evhttp_request_get_connection(x->req))
        evhttp_request_free(x->req);
    x->req = NULL;
    x->conn = NULL;
    if (x->client_gone)
        x->client_gone(x);
}

/* ---- requests ---- */

static void new_id(uint8_t binary[BUS_ID_SIZE], char text[REQUEST_ID_SIZE])
{
    uuid_t id;

    uuid_generate_random(id);
    uuid_unparse_lower(id, text);
    memcpy(binary, id, BUS_ID_SIZE);
}

static void take_key(struct link_request *link, struct text key)
{
    link->key_len = key.len < BUS_KEY_MAX ? key.len : BUS_KEY_MAX;
    memcpy(link->key, key.s, link->key_len);
}

/* Requests of one queue, or about one job, meet in one bundle. */
static void set_key(struct link_request *link, const struct route *route, const struct request *r)
{
    if ((route->flags & ROUTE_BY_JOB) && r->params_len)
        take_key(link, r->params[0]);
    if (!(route->flags & ROUTE_BY_QUEUE))
        return;
    for (size_t i = 0; i < r->query_len; i++) {
        struct text name = r->query[i].name, value = r->query[i].value;
        if (name.len == strlen("queue") && memcmp(name.s, "queue", name.len) == 0) {
            take_key(link, value);
            return;
        }
    }
}

static void free_buffer(void *data, void *hint)
{
    (void)hint;
    free(data);
}

/* Packs the request; its body comes straight from the buffer. */
static enum err pack(struct exchange *x, const struct request *r, struct body *body)
{
    size_t len = body->mem ? evbuffer_get_length(body->mem) : 0;
    msgpack_sbuffer out;

    msgpack_sbuffer_init(&out);
    if (len != body->len || request_pack_head(r, len, &out)) {
        msgpack_sbuffer_destroy(&out);
        return ERR_INVALID;
    }
    size_t size = out.size;
    if (!len) {
        if (zmq_msg_init_data(&x->link.payload, msgpack_sbuffer_release(&out), size, free_buffer,
                              NULL) != 0)
            abort();
        return ERR_OK;
    }
    if (zmq_msg_init_size(&x->link.payload, size + len) != 0)
        abort(); /* out of memory, as in mem.c */
    memcpy(zmq_msg_data(&x->link.payload), out.data, size);
    evbuffer_remove(body->mem, (char *)zmq_msg_data(&x->link.payload) + size, len);
    msgpack_sbuffer_destroy(&out);
    x->held = body->reserved;
    body->reserved = 0;
    return ERR_OK;
}

static struct exchange *exchange_new(const struct route *route)
{
    if (route->flags & ROUTE_UPLOAD)
        return upload_new();
    if (route->flags & ROUTE_DOWNLOAD)
        return download_new();
    if (route->op == OP_JOB_CLAIM)
        return park_exchange_new();
    struct exchange *x = mem_alloc(sizeof *x);
    x->link.done = on_answer;
    return x;
}

/* An old agent runs any other JSON object as a job, so the body of every refusal to it is {}. */
static void refuse_wait(struct exchange *x)
{
    struct local_answer refusal;

    local_error(&refusal, 400, "wait is not a number of seconds");
    if (x->server->cfg->auth == AUTH_OPEN)
        refusal.reply.body = (struct text){"{}", 2};
    exchange_answer(x, &refusal.reply);
    park_exchange_free(x);
}

/* Sends a request over the bus. */
static void forward(struct conn *c, struct evhttp_request *req, struct parsed *p, struct body *body,
                    const struct exchange *ids)
{
    struct exchange *x = exchange_new(p->route);

    memcpy(x->link.id, ids->link.id, sizeof x->link.id);
    memcpy(x->id, ids->id, sizeof x->id);
    x->server = c->server;
    x->conn = c;
    x->req = req;
    x->route = p->route;
    x->began_us = metrics_are_on() ? clock_mono_us() : 0;
    x->link.service = p->route->service;
    x->link.timeout_ms = c->server->cfg->request_timeout;
    if (p->route->op == OP_READYZ && x->link.timeout_ms > READYZ_MS)
        x->link.timeout_ms = READYZ_MS;
    p->request.peer = (struct text){c->peer, strlen(c->peer)};
    p->request.received_us = clock_wall_us();
    memcpy(p->request.id, x->id, sizeof x->id);
    set_key(&x->link, p->route, &p->request);
    x->link.origin = subject_origin(p->request.peer);
    x->link.subject = subject_of(&p->request);
    c->exchange = x;
    conn_watch(c);
    if (p->route->op == OP_JOB_CLAIM && !park_exchange_begin(x, &p->request)) {
        refuse_wait(x);
        return;
    }
    if (p->route->flags & ROUTE_UPLOAD) {
        upload_begin(x, &p->request, body);
        return;
    }
    if (!p->route->body_limit) /* it takes none: what came is dropped */
        body_free(body);
    if (pack(x, &p->request, body)) {
        log_error("a request could not be packed; this is a defect, report it");
        exchange_answer_err(x, ERR_INTERNAL);
        if (p->route->op == OP_JOB_CLAIM)
            park_exchange_free(x);
        else
            exchange_free(x);
        return;
    }
    if (zmq_msg_size(&x->link.payload) > BUS_MESSAGE_MAX) {
        zmq_msg_close(&x->link.payload);
        exchange_answer_err(x, ERR_TOO_LARGE);
        exchange_free(x);
        return;
    }
    if (p->route->op == OP_JOB_CLAIM)
        park_exchange_packed(x);
    link_send(c->server->link, &x->link);
}

/* Answers without a hop. */
static void answer_here(struct conn *c, struct evhttp_request *req, const struct parsed *p,
                        const struct reply *reply, const char *id)
{
    send_reply(c, req, reply, id);
    count(p->route ? p->route->op : metric_no_route(), reply->status, 0);
}

/* Why a request of a browser is not served; NULL: it is, or it is of another client. */
static const char *browser_refusal(const struct conn *c, struct evhttp_request *req,
                                   const struct parsed *p)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(req);
    bool get = p->route->method == HTTP_GET;
    const struct origin_request r = {
        .host = evhttp_find_header(in, "Host"),
        .origin = evhttp_find_header(in, "Origin"),
        .fetch_site = evhttp_find_header(in, "Sec-Fetch-Site"),
        .fetch_mode = evhttp_find_header(in, "Sec-Fetch-Mode"),
        .fetch_dest = evhttp_find_header(in, "Sec-Fetch-Dest"),
        .accept_language = evhttp_find_header(in, "Accept-Language"),
        .user_agent = evhttp_find_header(in, "User-Agent"),
        .get = get,
        .changes = !get || p->route->op == OP_JOB_CLAIM,
    };
    const char *why = origin_refusal(&c->server->origins, &r);

    if (why && log_admit("browser refused", c->peer, strlen(c->peer)))
        log_warn("%s %s of a browser at %s is refused: %s", http_method_name(p->route->method),
                 p->route->path, c->peer, why);
    return why;
}

void exchange_begin(struct evhttp_request *req, void *server)
{
    struct server *s = server;
    struct conn *c = conn_of(s, req);
    struct intake_item *item = c ? conn_claim(c, req) : NULL;
    struct exchange ids = {.server = s};
    struct local_answer local;
    const char *refusal;
    struct parsed p;

    if (!item)
        return;
    new_id(ids.link.id, ids.id);
    delivery_next(c);
    request_parse(req, (struct span){item->target, item->target_len}, item->verdict != 405, &p);
    if (item->verdict) {
        local_verdict(&local, item->verdict, &p);
        answer_here(c, req, &p, &local.reply, ids.id);
    } else if (p.kind != REQUEST_ROUTED || p.route->service == SERVICE_LOCAL) {
        local_reply(&local, &p);
        answer_here(c, req, &p, &local.reply, ids.id);
    } else if ((refusal = browser_refusal(c, req, &p))) {
        local_error(&local, 403, refusal);
        answer_here(c, req, &p, &local.reply, ids.id);
    } else {
        forward(c, req, &p, &item->body, &ids);
    }
    intake_item_free(item);
    parsed_free(&p);
}
