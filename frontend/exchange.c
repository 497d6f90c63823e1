#include "frontend/exchange.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/op.h"
#include "frontend/answer.h"
#include "frontend/delivery.h"
#include "frontend/local.h"

#include <stdlib.h>
#include <string.h>

struct exchange *exchange_new(const struct exchange_kind *kind)
{
    struct exchange *x = mem_alloc(kind->size);

    x->kind = kind;
    x->link.done = kind->reply;
    return x;
}

void exchange_free(struct exchange *x)
{
    if (x->kind->free)
        x->kind->free(x);
    intake_item_free(x->item);
    body_free(&x->body);
    budget_give(&x->held, 0);
    if (x->conn)
        x->conn->exchange = NULL;
    free(x);
}

void exchange_client_gone(struct exchange *x)
{
    metric_add(M_HTTP_GONE, 0, 1);
    /* The library frees the request with its connection, unless it has detached it. */
    if (!evhttp_request_get_connection(x->req))
        evhttp_request_free(x->req);
    x->req = NULL;
    x->conn = NULL;
    if (x->client_gone)
        x->client_gone(x);
}

/* ---- answers ---- */

void exchange_count(const struct exchange *x, int status)
{
    answer_count(x->server, &(struct answered){x->route, x->method, status, x->began_us});
}

void exchange_headers(struct exchange *x, const struct reply *reply)
{
    answer_headers(x->server, x->req, reply, x->id);
}

void exchange_close_after(struct exchange *x)
{
    if (!x->server->draining) /* else answer_headers() adds it */
        evhttp_add_header(evhttp_request_get_output_headers(x->req), "Connection", "close");
}

struct evhttp_request *exchange_detach(struct exchange *x)
{
    struct evhttp_request *req = x->req;

    if (x->conn)
        x->conn->exchange = NULL; /* sending the answer may free the connection */
    x->conn = NULL;
    x->req = NULL;
    return req;
}

/* Sends an answer, with its body from answer_keep(). */
static void answer(struct exchange *x, const struct reply *reply, struct evbuffer *body)
{
    struct conn *c = x->conn;
    struct evhttp_request *req = exchange_detach(x);

    answer_send(c, req, reply, x->id, body);
    exchange_count(x, reply->status);
}

static struct evbuffer *keep(const struct exchange *x, const struct reply *reply)
{
    return answer_keep(x->conn->intake.tenant, reply->body);
}

static void answer_err(struct exchange *x, enum err e)
{
    const char *own = x->req ? answer_client_id(x->req) : NULL;
    const char *peer = x->conn ? x->conn->peer : "";
    struct local_answer local;

    if (log_admit(err_text(e), peer, strlen(peer))) {
        log_set_request(x->id);
        log_warn("%s %s: %s%s%s", http_method_name(route_method(x->route)), route_path(x->route),
                 err_text(e), own ? "; the client calls it " : "", own ? own : "");
        log_set_request(NULL);
    }
    if (!x->req)
        return;
    local_err(&local, e);
    if (answer_is_page(x->req, x->route))
        local_page(&local, err_text(e));
    answer(x, &local.reply, keep(x, &local.reply));
}

static void answer_reply(struct exchange *x, const struct reply *reply)
{
    struct evbuffer *body = x->req ? keep(x, reply) : NULL;

    if (body)
        answer(x, reply, body);
    else if (x->req)
        answer_err(x, ERR_FULL);
}

/* Hands out a job; if the agent has gone, the job goes back to its queue. */
static void answer_claim(struct exchange *x, const struct reply *reply)
{
    bool refused = !x->req || delivery_refused(x->conn);
    struct evbuffer *body = refused ? NULL : keep(x, reply);
    struct local_answer none;

    if (body) {
        delivery_begin(x->conn, x->id);
        answer(x, reply, body);
        return;
    }
    delivery_return(x->server, x->id);
    if (x->req && !refused) {
        answer_err(x, ERR_FULL);
        return;
    }
    local_none(&none);
    answer_reply(x, &none.reply);
}

void exchange_end(struct exchange *x, enum err e, const struct reply *reply)
{
    if (e)
        answer_err(x, e);
    else if (reply->claimed)
        answer_claim(x, reply);
    else
        answer_reply(x, reply);
    exchange_free(x);
}

/* ---- the plain kind ---- */

static void on_reply(struct link_request *r, enum err e, const struct reply *reply)
{
    struct exchange *x = (struct exchange *)r;

    if (e == ERR_TIMEOUT && route_op(x->route) == OP_READYZ)
        e = ERR_NO_WORKER;
    exchange_end(x, e, reply);
}

const struct exchange_kind exchange_plain = {.size = sizeof(struct exchange), .reply = on_reply};
