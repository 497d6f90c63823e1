#include "worker/web/visitor.h"

#include "common/buf.h"
#include "worker/clients/roles.h"
#include "worker/encoding/json_string.h"
#include "worker/web/values.h"

#include <string.h>

#define PATH_MAX_BYTES 2048 /* longer addresses are not come back to */

json_t *visitor_user(const struct call *c)
{
    if (!c->caller.has_token)
        return json_null();
    return json_pack("{s:o, s:s}", "name", page_text(caller_id(c)), "role",
                     role_name(c->caller.role));
}

/* The path of the request, made of its row: the row's parameters are percent-encoded. */
static enum err add_path(const struct call *c, struct buf *b)
{
    const char *s = route_path(c->route);
    enum err e = ERR_OK;

    for (size_t i = 0; !e && *s; i++) {
        size_t n = strcspn(s, "<");
        e = buf_add(b, s, n);
        s += n;
        if (!e && *s) {
            e = buf_add_percent(b, c->request->params[i]);
            s = strchr(s, '>') + 1;
        }
    }
    return e;
}

static enum err add_query(const struct call *c, struct buf *b)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < c->request->query_len; i++) {
        e = buf_add(b, i ? "&" : "?", 1);
        if (!e)
            e = buf_add_percent(b, c->request->query[i].name);
        if (!e)
            e = buf_add(b, "=", 1);
        if (!e)
            e = buf_add_percent(b, c->request->query[i].value);
    }
    return e;
}

/* Cuts a form's path to that of the page which has the form. */
static void cut_to_page(struct buf *b)
{
    struct route_match m;

    for (size_t len = b->len; len > 1;) {
        if (route_match(b->data, len, &m) && m.by_method[HTTP_GET]) {
            b->len = len;
            return;
        }
        while (len > 1 && b->data[--len] != '/')
            ;
    }
    b->len = 1;
}

json_t *visitor_sign_in(const struct call *c)
{
    struct buf here = BUF_INIT(PATH_MAX_BYTES);
    enum err e = add_path(c, &here);

    if (!e && route_method(c->route) != HTTP_GET)
        cut_to_page(&here);
    else if (!e)
        e = add_query(c, &here);
    json_t *url = e || strncmp(here.data, "/log", 4) == 0
                      ? json_string("/login")
                      : page_url("/login?next=", (struct text){here.data, here.len}, "");
    buf_free(&here);
    return url;
}

bool visitor_may(const struct call *c, unsigned op)
{
    const struct route *r = route_of(op);
    bool guarded = route_flags(r) & ROUTE_GUARDED;

    if (!guarded && c->cfg->auth == AUTH_OPEN)
        return true;
    return (route_roles(r) & c->caller.role) && (c->caller.has_token || !guarded);
}
