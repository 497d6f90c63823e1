/* Signing in with client id and secret, and out. */
#include "worker/auth/login_limits.h"
#include "worker/auth/security_log.h"
#include "worker/auth/session.h"
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/request/form.h"
#include "worker/web/page.h"
#include "worker/web/values.h"

#include <stdio.h>

handler_fn h_page_login, h_web_login, h_web_logout;

#define NEXT_MAX 2048

/* Where to go on: a path of this server, else the front page. Browsers take "//HOST" and "/\HOST"
 * for other servers. */
static struct text next_of(struct text asked)
{
    static const struct text front = {"/", 1};

    if (!asked.len || asked.len > NEXT_MAX || asked.s[0] != '/' ||
        (asked.len > 1 && (asked.s[1] == '/' || asked.s[1] == '\\')))
        return front;
    for (size_t i = 0; i < asked.len; i++)
        if (asked.s[i] <= ' ' || asked.s[i] >= 0x7f || asked.s[i] == '\\')
            return front;
    return asked;
}

/* `fault`: why the visitor is not signed in; NULL: the form was not sent yet. */
static json_t *model(struct text next, struct text client_id, const char *fault)
{
    return json_pack("{s:s, s:o, s:o, s:s?}", "title", "Sign in", "next", page_text(next),
                     "client_id", page_text(client_id), "fault", fault);
}

void h_page_login(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text asked = {NULL, 0};

    (void)n;
    query_first(c->request, "next", &asked);
    if (c->caller.has_token)
        page_see_other(c, page_text(next_of(asked)));
    else
        page_reply(c, 200, model(next_of(asked), (struct text){NULL, 0}, NULL));
}

static void signed_in(struct call *c, const json_t *client, struct text next)
{
    const char *id = json_string_value(json_object_get(client, "client_id"));
    enum err e = session_begin(c, client);

    if (e) {
        reply_err(c, e);
        return;
    }
    security_event(c, SECURITY_INFO, "A client has signed in by a browser",
                   "authn_login_success:%s", id);
    page_see_other(c, page_text(next));
}

static void refused(struct call *c, int status, struct text client_id, const char *fault)
{
    page_reply(c, status, model(next_of(form_text(c, "next")), client_id, fault));
}

static void refused_for(struct call *c, int status, struct text client_id, const char *why,
                        int64_t wait_s)
{
    char text[96];

    snprintf(text, sizeof text, "%lld", (long long)wait_s);
    reply_header(c, "Retry-After", text);
    snprintf(text, sizeof text, "%s: try again in %lld seconds.", why, (long long)wait_s);
    refused(c, status, client_id, text);
}

static void refused_wrong(struct call *c, struct text client_id)
{
    security_event(c, SECURITY_WARN, "Login failed: invalid client id or client key",
                   "authn_login_fail:%.*s", security_shown_len(client_id),
                   client_id.len ? client_id.s : "");
    refused(c, 401, client_id, "The client id or the secret is wrong.");
}

void h_web_login(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    const struct credentials k = {.client_id = form_text(c, "client_id"),
                                  .secret = form_text(c, "secret")};
    json_t *client = NULL;
    int64_t wait_s = 0;

    (void)n;
    if (!k.client_id.len || !k.secret.len) {
        refused_wrong(c, k.client_id);
        return;
    }
    switch (login_check(c, &k, &client, &wait_s)) {
    case LOGIN_OK:
        signed_in(c, client, next_of(form_text(c, "next")));
        break;
    case LOGIN_WRONG:
        refused_wrong(c, k.client_id);
        break;
    case LOGIN_LOCKED:
        refused_for(c, 429, k.client_id, "Too many failed logins", wait_s);
        break;
    case LOGIN_BUSY:
        refused_for(c, 503, k.client_id, "Too many logins at once", wait_s);
        break;
    case LOGIN_FAULT:
        break;
    }
    json_decref(client);
}

void h_web_logout(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    enum err e = session_end(c);

    (void)n;
    if (e)
        reply_err(c, e);
    else
        page_see_other(c, json_string("/"));
}
