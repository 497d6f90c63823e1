#include "frontend/serve.h"

#include "common/log.h"
#include "common/metrics.h"
#include "common/op.h"
#include "common/random.h"
#include "frontend/answer.h"
#include "frontend/client.h"
#include "frontend/delivery.h"
#include "frontend/forward.h"
#include "frontend/local.h"
#include "frontend/request.h"

#include <string.h>

/* Answers without a worker. Refuses a body that has not come yet. */
static void answer_here(struct conn *c, struct evhttp_request *req, const struct intake_item *item,
                        const struct parsed *p, const struct local_answer *local, const char *id)
{
    const struct reply *reply = &local->reply;
    unsigned method = request_method(req); /* the answer may free the request */

    if (item->coming && !intake_refuse(&c->intake, false) && !c->server->draining)
        evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    answer_send(c, req, reply, id,
                local->is_static ? answer_static(reply->body) : answer_keep(NULL, reply->body));
    answer_count(c->server, &(struct answered){p->route, method, reply->status, 0});
}

/* Why to refuse a browser's request; NULL: serve it, or not a browser's. */
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
        .action = !get && route_is_web(p->route),
        .changes = !get || route_op(p->route) == OP_JOB_CLAIM,
    };
    const char *why = origin_refusal(&c->server->origins, &r);

    if (why && log_admit("browser refused", c->peer, strlen(c->peer)))
        log_warn("refused %s %s of a browser at %s: %s", http_method_name(route_method(p->route)),
                 route_path(p->route), c->peer, why);
    return why;
}

void serve_request(struct evhttp_request *req, void *server)
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
    random_uuid_text(id);
    delivery_next(c);
    request_parse(req, (struct text){item->target, item->target_len}, item->verdict != 405, &p);
    if (!client_of_request(c, req)) {
        local_error(&local, 503, "Too many connections from this address; try again shortly");
        answer_here(c, req, item, &p, &local, id);
    } else if (item->verdict) {
        local_verdict(&local, item->verdict, &p);
        answer_here(c, req, item, &p, &local, id);
    } else if (p.kind != REQUEST_ROUTED || route_service(p.route) == SERVICE_LOCAL) {
        local_reply(&local, &p);
        answer_here(c, req, item, &p, &local, id);
    } else if ((refusal = browser_refusal(c, req, &p))) {
        local_error(&local, 403, refusal);
        if (answer_is_page(req, p.route))
            local_page(&local, refusal);
        answer_here(c, req, item, &p, &local, id);
    } else {
        forward_begin(c, req, &p, item, id);
        item = NULL;
    }
    intake_item_free(item);
    request_parsed_free(&p);
}
