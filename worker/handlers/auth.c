/* Logging in by client id and secret. */
#include "worker/auth/login_limits.h"
#include "worker/auth/security_log.h"
#include "worker/auth/token_issue.h"
#include "worker/clients/document.h"
#include "worker/request/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

handler_fn h_token, h_token_get;

#define NO_HEADER       "No authorization header specified"
#define NO_CREDENTIALS  "Client id and key must be specified in authorization header"
#define BAD_CREDENTIALS "Invalid client id or client key"

/* Position of a media type in an Accept header; len: absent. */
static size_t position(struct text header, const char *type)
{
    size_t n = strlen(type);

    for (size_t i = 0; i + n <= header.len; i++)
        if (strncasecmp(header.s + i, type, n) == 0)
            return i;
    return header.len;
}

/* The first command line posts a body, `{}`, and the first documents ask by GET: both read the
 * answer as the token. Today's clients post none, and read JSON. */
static bool is_old(const struct call *c)
{
    return c->cfg->auth == AUTH_OPEN &&
           (route_method(c->route) == HTTP_GET || c->request->body.len > 0);
}

/* Which form of the token the client wants: what it names first, else the setting's. */
static bool wants_json(const struct call *c)
{
    struct text accept = c->request->headers[HDR_ACCEPT];
    size_t json = position(accept, "application/json"), text = position(accept, "text/plain");

    if (json != text)
        return json < text;
    if (c->cfg->token_reply == TOKEN_REPLY_AUTO)
        return !is_old(c);
    return c->cfg->token_reply == TOKEN_REPLY_JSON;
}

/* Answers a client that has logged in. HEAD has no effect, so it stores no refresh token. */
static void issue(struct call *c, const json_t *client)
{
    json_t *permissions = client_permissions(client, true), *body;
    const char *id = json_string_value(json_object_get(permissions, "client_id"));
    char refresh[REFRESH_TEXT_SIZE] = "", *token = token_issue_token(c, client, permissions);
    bool json = wants_json(c);
    enum err e =
        token && json && !c->request->head ? token_issue_refresh(c, client, refresh) : ERR_OK;

    if (token && e) {
        reply_err(c, e);
    } else if (token) {
        security_event(c, SECURITY_INFO, "A client has logged in", "authn_login_success:%s", id);
        token_issue_told(c, permissions, "created");
        if (json) {
            body = token_issue_json(c, token);
            json_object_set_new(body, "refresh_token", json_string(refresh));
            reply_json(c, 200, body);
        } else {
            reply_text(c, 200, token);
        }
    }
    free(token);
    json_decref(permissions);
}

/* `why`: for watchers of the log; `answer`: for the client. */
static void login_failed(struct call *c, struct text client_id, const char *why, const char *answer)
{
    security_event(c, SECURITY_WARN, why, "authn_login_fail:%.*s", security_shown_len(client_id),
                   client_id.s);
    reply_text(c, 401, answer);
}

static void refuse(struct call *c, int status, const char *why, int64_t wait_s)
{
    char text[96];

    snprintf(text, sizeof text, "%lld", (long long)wait_s);
    reply_header(c, "Retry-After", text);
    snprintf(text, sizeof text, "%s; try again in %lld seconds", why, (long long)wait_s);
    reply_text(c, status, text);
}

void h_token(struct call *calls[], size_t n)
{
    static const struct text unknown = {"unknown", 7};
    struct call *c = calls[0];
    struct text header = c->request->headers[HDR_AUTHORIZATION];
    struct credentials k;
    json_t *client = NULL;
    int64_t wait_s;

    (void)n;
    if (!header.s) {
        login_failed(c, unknown, "Login failed: missing authorization header", NO_HEADER);
        return;
    }
    if (!credentials_read(header, &k)) {
        login_failed(c, unknown, "Login failed: incomplete credentials", NO_CREDENTIALS);
    } else {
        switch (login_check(c, &k, &client, &wait_s)) {
        case LOGIN_OK:
            issue(c, client);
            break;
        case LOGIN_WRONG:
            login_failed(c, k.client_id, "Login failed: invalid client id or client key",
                         BAD_CREDENTIALS);
            break;
        case LOGIN_LOCKED:
            refuse(c, 429, "Too many failed logins", wait_s);
            break;
        case LOGIN_BUSY:
            refuse(c, 503, "Too many logins at once", wait_s);
            break;
        case LOGIN_FAULT:
            break;
        }
    }
    json_decref(client);
    credentials_free(&k);
}

void h_token_get(struct call *calls[], size_t n)
{
    h_token(calls, n);
}
