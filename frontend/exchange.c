#include "frontend/exchange.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/op.h"
#include "frontend/delivery.h"
#include "frontend/download.h"
#include "frontend/forward.h"
#include "frontend/local.h"
#include "frontend/park.h"
#include "frontend/request.h"
#include "frontend/subject.h"
#include "frontend/upload.h"

#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#define CLIENT_ID_MAX 128  /* of an X-Request-Id that a client sends */
#define COPY_MAX      4096 /* bytes of an answer that does not count in the budget */

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

/* An answer that a reader has not taken yet. */
struct kept {
    struct budget_share share;
    char data[];
};

static void kept_free(const void *data, size_t len, void *arg)
{
    struct kept *k = arg;

    (void)data;
    (void)len;
    budget_give(&k->share, 0);
    free(k);
}

/* Copies a body; NULL: the budget has no room for it. */
static struct evbuffer *keep(struct tenant *t, struct text body)
{
    struct evbuffer *out = evbuffer_new();
    struct kept *k;

    if (!out)
        abort(); /* out of memory, as in mem.c */
    if (body.len <= COPY_MAX) {
        evbuffer_add(out, body.s, body.len);
        return out;
    }
    k = mem_realloc(NULL, sizeof *k + body.len);
    k->share = (struct budget_share){0};
    if (!t || !budget_take(&k->share, t, sizeof *k + body.len)) {
        free(k);
        evbuffer_free(out);
        return NULL;
    }
    memcpy(k->data, body.s, body.len);
    if (evbuffer_add_reference(out, k->data, body.len, kept_free, k) != 0)
        abort();
    return out;
}

/* Sends an answer; takes its body. */
static void send_kept(struct conn *c, struct evhttp_request *req, const struct reply *reply,
                      const char *id, struct evbuffer *body)
{
    bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    char length[24];

    add_headers(c->server, req, reply, id);
    if (head && reply->status != 204 && reply->status != 304) {
        snprintf(length, sizeof length, "%zu", reply->body.len);
        evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Length", length);
        evbuffer_drain(body, reply->body.len);
    }
    evhttp_send_reply(req, reply->status, NULL, body);
    evbuffer_free(body);
    conn_hold(c);
}

/* Sends a short answer of the frontend's own. */
static void send_reply(struct conn *c, struct evhttp_request *req, const struct reply *reply,
                       const char *id)
{
    send_kept(c, req, reply, id, keep(NULL, reply->body));
}

void exchange_free(struct exchange *x)
{
    intake_item_free(x->item);
    body_free(&x->body);
    budget_give(&x->held, 0);
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
    count(route_op(x->route), status, x->began_us);
}

void exchange_headers(struct exchange *x, const struct reply *reply)
{
    add_headers(x->server, x->req, reply, x->id);
}

void exchange_close_after(struct exchange *x)
{
    if (!x->server->draining) /* or the answer says so by itself */
        evhttp_add_header(evhttp_request_get_output_headers(x->req), "Connection", "close");
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

/* Sends an answer, with its body where that is kept already. */
static void answer(struct exchange *x, const struct reply *reply, struct evbuffer *body)
{
    struct conn *c = x->conn;
    struct evhttp_request *req = exchange_detach(x);

    send_kept(c, req, reply, x->id, body);
    exchange_count(x, reply->status);
}

void exchange_answer(struct exchange *x, const struct reply *reply)
{
    struct evbuffer *body = x->req ? keep(x->conn->intake.tenant, reply->body) : NULL;

    if (body)
        answer(x, reply, body);
    else if (x->req)
        exchange_answer_err(x, ERR_FULL);
}

void exchange_answer_err(struct exchange *x, enum err e)
{
    const char *own = x->req ? client_id(x->req) : NULL;
    struct local_answer local;

    const char *peer = x->conn ? x->conn->peer : "";
    if (log_admit(err_text(e), peer, strlen(peer))) {
        log_set_request(x->id);
        log_warn("%s %s: %s%s%s", http_method_name(route_method(x->route)), route_path(x->route),
                 err_text(e), own ? "; the client calls it " : "", own ? own : "");
        log_set_request(NULL);
    }
    local_err(&local, e);
    exchange_answer(x, &local.reply);
}

void exchange_answer_claim(struct exchange *x, const struct reply *reply)
{
    bool refused = !x->req || delivery_refused(x->conn);
    struct evbuffer *body = refused ? NULL : keep(x->conn->intake.tenant, reply->body);
    struct local_answer none;

    if (body) {
        delivery_begin(x->conn, x->id);
        answer(x, reply, body);
        return;
    }
    delivery_return(x->server, x->id);
    if (x->req && !refused) {
        exchange_answer_err(x, ERR_FULL);
        return;
    }
    local_none(&none);
    exchange_answer(x, &none.reply);
}

static void on_answer(struct link_request *r, enum err e, const struct reply *reply)
{
    struct exchange *x = (struct exchange *)r;

    if (e == ERR_TIMEOUT && route_op(x->route) == OP_READYZ)
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

static void new_id(char text[REQUEST_ID_SIZE])
{
    uuid_t id;

    uuid_generate_random(id);
    uuid_unparse_lower(id, text);
}

struct exchange *exchange_new(const struct route *route)
{
    if (route_flags(route) & ROUTE_UPLOAD)
        return upload_new();
    if (route_flags(route) & ROUTE_DOWNLOAD)
        return download_new();
    if (route_op(route) == OP_JOB_CLAIM)
        return park_exchange_new();
    struct exchange *x = mem_alloc(sizeof *x);
    x->link.done = on_answer;
    return x;
}

/* Answers without a hop. A body that waits for a yes does not come. */
static void answer_here(struct conn *c, struct evhttp_request *req, const struct intake_item *item,
                        const struct parsed *p, const struct reply *reply, const char *id)
{
    if (item->coming && !intake_refuse(&c->intake, false) && !c->server->draining)
        evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    send_reply(c, req, reply, id);
    count(p->route ? route_op(p->route) : metric_no_route(), reply->status, 0);
}

/* Why a request of a browser is not served; NULL: it is, or it is of another client. */
static const char *browser_refusal(const struct conn *c, struct evhttp_request *req,
                                   const struct parsed *p)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(req);
    bool get = route_method(p->route) == HTTP_GET;
    const struct origin_request r = {
        .host = client_host(c, req),
        .scheme = *c->client.scheme ? c->client.scheme : NULL,
        .origin = evhttp_find_header(in, "Origin"),
        .fetch_site = evhttp_find_header(in, "Sec-Fetch-Site"),
        .fetch_mode = evhttp_find_header(in, "Sec-Fetch-Mode"),
        .fetch_dest = evhttp_find_header(in, "Sec-Fetch-Dest"),
        .accept_language = evhttp_find_header(in, "Accept-Language"),
        .user_agent = evhttp_find_header(in, "User-Agent"),
        .get = get,
        .changes = !get || route_op(p->route) == OP_JOB_CLAIM,
    };
    const char *why = origin_refusal(&c->server->origins, &r);

    if (why && log_admit("browser refused", c->peer, strlen(c->peer)))
        log_warn("%s %s of a browser at %s is refused: %s",
                 http_method_name(route_method(p->route)), route_path(p->route), c->peer, why);
    return why;
}

void exchange_begin(struct evhttp_request *req, void *server)
{
    struct server *s = server;
    struct conn *c = conn_of(s, req);
    struct intake_item *item = c ? conn_claim(c, req) : NULL;
    char id[REQUEST_ID_SIZE];
    struct local_answer local;
    const char *refusal;
    struct parsed p;

    if (!item)
        return;
    new_id(id);
    delivery_next(c);
    request_parse(req, (struct span){item->target, item->target_len}, item->verdict != 405, &p);
    if (!client_of_request(c, req)) {
        local_error(&local, 503, "Too many connections from this address; try again shortly");
        answer_here(c, req, item, &p, &local.reply, id);
    } else if (item->verdict) {
        local_verdict(&local, item->verdict, &p);
        answer_here(c, req, item, &p, &local.reply, id);
    } else if (p.kind != REQUEST_ROUTED || route_service(p.route) == SERVICE_LOCAL) {
        local_reply(&local, &p);
        answer_here(c, req, item, &p, &local.reply, id);
    } else if ((refusal = browser_refusal(c, req, &p))) {
        local_error(&local, 403, refusal);
        answer_here(c, req, item, &p, &local.reply, id);
    } else {
        forward_begin(c, req, &p, item, id);
        item = NULL;
    }
    intake_item_free(item);
    parsed_free(&p);
}
