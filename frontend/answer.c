#include "frontend/answer.h"

#include "common/accept.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "frontend/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_ID_MAX 128  /* bytes of an X-Request-Id that a client sends */
#define COPY_MAX      4096 /* bytes of an answer that do not count in the budget */

const char *answer_client_id(struct evhttp_request *req)
{
    const char *id = evhttp_find_header(evhttp_request_get_input_headers(req), "X-Request-Id");
    size_t n = id ? strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789-_.:/+=")
                  : 0;

    return n > 0 && n <= CLIENT_ID_MAX && !id[n] ? id : NULL;
}

bool answer_is_page(struct evhttp_request *req, const struct route *route)
{
    const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");

    return route && route_is_web(route) &&
           !accept_json((struct text){accept, accept ? strlen(accept) : 0});
}

/* Scripts, styles and pictures come from this server alone; no page stands in a frame. */
#define CONTENT_POLICY                                                                             \
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; " \
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

static bool is_html(const struct reply *reply)
{
    for (size_t i = 0; i < reply->headers_len; i++)
        if (strcmp(reply->headers[i].name, "Content-Type") == 0)
            return strncmp(reply->headers[i].value, "text/html", 9) == 0;
    return false;
}

static void guard_page(struct evkeyvalq *out)
{
    evhttp_add_header(out, "Content-Security-Policy", CONTENT_POLICY);
    evhttp_add_header(out, "Referrer-Policy", "same-origin");
    evhttp_add_header(out, "Cross-Origin-Opener-Policy", "same-origin");
}

void answer_headers(struct server *s, struct evhttp_request *req, const struct reply *reply,
                    const char *id)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(req);
    const char *own = answer_client_id(req);

    for (size_t i = 0; i < reply->headers_len; i++)
        evhttp_add_header(out, reply->headers[i].name, reply->headers[i].value);
    evhttp_add_header(out, "X-Request-Id", own ? own : id);
    /* Browsers must not run what a job posted as a page or script. */
    evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
    if (is_html(reply))
        guard_page(out);
    if (s->draining)
        evhttp_add_header(out, "Connection", "close");
}

/* The body of an answer until the client has read it. */
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

struct evbuffer *answer_keep(struct tenant *t, struct text body)
{
    struct evbuffer *out = evbuffer_new();
    struct kept *k;

    mem_check(out);
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
    mem_check(evbuffer_add_reference(out, k->data, body.len, kept_free, k) == 0);
    return out;
}

struct evbuffer *answer_static(struct text body)
{
    struct evbuffer *out = evbuffer_new();

    mem_check(out && evbuffer_add_reference(out, body.s, body.len, NULL, NULL) == 0);
    return out;
}

void answer_send(struct conn *c, struct evhttp_request *req, const struct reply *reply,
                 const char *id, struct evbuffer *body)
{
    bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    char length[24];

    answer_headers(c->server, req, reply, id);
    if (head && reply->status != 204 && reply->status != 304) {
        snprintf(length, sizeof length, "%zu", reply->body.len);
        evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Length", length);
        evbuffer_drain(body, reply->body.len);
    }
    evhttp_send_reply(req, reply->status, NULL, body);
    evbuffer_free(body);
    conn_hold(c);
}

void answer_count(const struct server *s, const struct answered *a)
{
    unsigned route = a->route ? route_op(a->route) : metric_no_route();
    int64_t us = a->began_us ? clock_mono_us() - a->began_us : 0;

    metric_add(M_HTTP_REQUESTS, metric_route_status(route, a->status), 1);
    if (a->began_us)
        metric_time(M_HTTP_SECONDS, route, us);
    metric_add(M_FLASK_REQUESTS, metric_method_status(a->method, a->status), 1);
    if (s->cfg->metrics_flask)
        metric_time(M_FLASK_SECONDS, metric_endpoint(route, a->method, a->status), us);
}
