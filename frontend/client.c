#include "frontend/client.h"

#include "common/log.h"
#include "common/mem.h"
#include "frontend/host.h"
#include "frontend/place.h"
#include "frontend/request.h"

#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct address nobody;

/* Sets the address that the connection and its requests' memory count for. */
static bool count_for(struct conn *c, const struct address *a)
{
    const struct address_key key = address_key(a);

    intake_set_tenant(&c->intake, budget_join(&c->server->bodies.budget, &key));
    return place_take(c, &key);
}

/* Sets the connection's client. A relaying proxy's connections are not limited by address: they
 * serve many clients. */
static bool is_for(struct conn *c, const struct address *a)
{
    c->client.address = *a;
    address_text(a, c->peer);
    return count_for(c, c->client.relayed ? &nobody : a);
}

bool client_accepted(struct conn *c)
{
    const struct proxies *p = &c->server->proxies;
    const struct address peer = address_of_fd(bufferevent_getfd(c->bev));

    c->client.relayed = forwarded_trusts(&p->rules, &peer);
    if (p->protocol && trust_has(&p->rules.trust, &peer))
        c->client.header = mem_alloc(sizeof *c->client.header);
    return is_for(c, &peer);
}

static enum proxy2_result refuse(struct conn *c)
{
    c->failed = true;
    event_active(c->hook, EV_TIMEOUT, 0);
    return PROXY2_BAD;
}

enum proxy2_result client_take_header(struct conn *c, const void *data, size_t n)
{
    struct proxy2 *h = c->client.header;
    enum proxy2_result r = proxy2_take(h, data, n);

    if (r == PROXY2_MORE)
        return r;
    if (r == PROXY2_BAD && log_admit("proxy header", c->peer, strlen(c->peer)))
        log_warn("closing a connection of the proxy at %s: it does not begin with a header of the "
                 "PROXY protocol, version 2; look at its settings (HAProxy: send-proxy-v2), or "
                 "leave it out of --trusted-proxies",
                 c->peer);
    if (r == PROXY2_BAD)
        return refuse(c);
    struct address client = h->named ? h->client : c->client.address;
    /* A proxy with a PROXY header relays the client's bytes unchanged: their headers count only if
     * that client is a trusted proxy itself. */
    c->client.relayed = h->named && trust_has(&c->server->proxies.rules.trust, &client);
    free(h);
    c->client.header = NULL;
    return is_for(c, &client) ? PROXY2_DONE : refuse(c);
}

/* ---- requests ---- */

static void find_all(struct evhttp_request *req, const char *name, struct forwarded_values *ret)
{
    struct evkeyval *h;

    ret->len = 0;
    for (h = evhttp_request_get_input_headers(req)->tqh_first; h; h = h->next.tqe_next)
        if (ret->len < HEAD_FIELDS_MAX && strcasecmp(h->key, name) == 0)
            ret->lines[ret->len++] = (struct text){h->value, strlen(h->value)};
}

bool client_of_request(struct conn *c, struct evhttp_request *req)
{
    static const char *const names[2][3] = {
        [FORWARDED_X] = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"},
        [FORWARDED_RFC7239] = {"Forwarded", "", ""},
    };
    static struct forwarded_values values[3]; /* large */
    const struct forwarded_rules *rules = &c->server->proxies.rules;
    struct forwarded f;

    *c->client.host = '\0';
    c->client.scheme = c->tls ? "https" : "";
    if (!c->client.relayed)
        return true;
    for (int i = 0; i < 3; i++)
        find_all(req, names[rules->headers][i], &values[i]);
    forwarded_read(rules, &c->client.address, values, &f);
    if (f.proto.len)
        c->client.scheme = f.proto.len == strlen("https") ? "https" : "http";
    if (f.host.len && f.host.len < sizeof c->client.host && host_ok(f.host.s, f.host.len)) {
        memcpy(c->client.host, f.host.s, f.host.len);
        c->client.host[f.host.len] = '\0';
    }
    address_text(&f.client, c->peer);
    /* The proxy's own requests, such as health checks, are not limited. */
    bool own = memcmp(&f.client, &c->client.address, sizeof f.client) == 0;
    return count_for(c, own ? &nobody : &f.client);
}

void client_answered(struct conn *c)
{
    if (!c->client.relayed)
        return;
    address_text(&c->client.address, c->peer);
    count_for(c, &nobody);
}

const char *client_host(const struct conn *c, struct evhttp_request *req)
{
    return *c->client.host ? c->client.host
                           : evhttp_find_header(evhttp_request_get_input_headers(req), "Host");
}

void client_complete(const struct conn *c, struct request *r)
{
    r->peer = (struct text){c->peer, strlen(c->peer)};
    r->https = strcmp(c->client.scheme, "https") == 0;
    if (*c->client.host)
        r->headers[HDR_HOST] = (struct text){c->client.host, strlen(c->client.host)};
}

void client_free(struct client *c)
{
    free(c->header);
    c->header = NULL;
}
