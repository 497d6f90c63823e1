#include "worker/web/act.h"

#include "worker/encoding/json_string.h"
#include "worker/request/form.h"

#include <stdlib.h>
#include <string.h>

static bool is_json(const struct call *c)
{
    return c->reply.body.len && *c->reply.body.s == '{';
}

/* Errors that the API answers as text become those of JSON. */
static void make_json(struct call *c)
{
    json_t *text = json_stringn(c->reply.body.s, c->reply.body.len);

    reply_error(c, c->reply.status, "%s", text ? json_string_value(text) : "Error");
    json_decref(text);
}

/* The API's headers are not for browsers: that of an agent's post makes its client the agent. */
static void drop_headers(struct call *c)
{
    for (size_t i = 0; i < c->reply.headers_len; i++)
        free(c->header_values[i]);
    c->reply.headers_len = 0;
}

bool act_run(struct call *c, const struct act *a)
{
    static struct request inner; /* large */
    const struct request *form = c->request;
    const struct route *row = c->route;
    char *body = a->body ? json_dumps(a->body, JSON_COMPACT) : NULL;

    inner = *form;
    inner.query_len = 0;
    inner.body = (struct text){body, body ? strlen(body) : 0};
    inner.headers[HDR_CONTENT_TYPE] = (struct text){"application/json", 16};
    inner.headers[HDR_IDEMPOTENCY_KEY] = a->idempotent;
    inner.headers[HDR_COOKIE] = (struct text){NULL, 0}; /* agents have some, too */
    if (a->parameter.s) {
        inner.params[0] = a->parameter;
        inner.params_len = 1;
    }
    c->request = &inner;
    c->route = route_of(a->op);
    a->handler(&c, 1);
    c->request = form;
    c->route = row;
    free(body);
    json_decref(a->body);
    if (c->reply.status < 300) {
        drop_headers(c);
        return true;
    }
    if (!is_json(c))
        make_json(c);
    return false;
}

json_t *act_field(const struct call *c, const char *name)
{
    struct text value = form_text(c, name);

    return value.len ? json_pack("{s:s%}", name, value.s, value.len) : json_object();
}
