/* Tokens: log in, refresh, revoke. */
#include "common/clock.h"
#include "common/log.h"
#include "worker/base64.h"
#include "worker/call.h"
#include "worker/clients.h"
#include "worker/jsonbody.h"
#include "worker/keys.h"
#include "worker/login.h"
#include "worker/passwd.h"
#include "worker/roles.h"
#include "worker/schemas.h"
#include "worker/security.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REFRESH_BYTES     48
#define REFRESH_TEXT_SIZE 65

/* A token that fills most of what clients can send in a header is of little use. */
#define TOKEN_LARGE 7000

#define NO_HEADER       "No authorization header specified"
#define NO_CREDENTIALS  "Client id and key must be specified in authorization header"
#define BAD_CREDENTIALS "Invalid client id or client key"

/* Position of a media type in an Accept header, len when it is not there. */
static size_t position(struct text header, const char *type)
{
    size_t n = strlen(type);

    for (size_t i = 0; i + n <= header.len; i++)
        if (strncasecmp(header.s + i, type, n) == 0)
            return i;
    return header.len;
}

/* Which form of the token the client wants: what it names first, else the setting's. */
static bool wants_json(const struct call *c)
{
    struct text accept = c->request->headers[HDR_ACCEPT];
    size_t json = position(accept, "application/json"), text = position(accept, "text/plain");

    if (json != text)
        return json < text;
    if (c->cfg->token_reply == TOKEN_REPLY_AUTO)
        return c->cfg->auth != AUTH_OPEN;
    return c->cfg->token_reply == TOKEN_REPLY_JSON;
}

/* A token for these permissions, which the caller frees; NULL: answered. */
static char *sign(struct call *c, const json_t *permissions)
{
    const struct token_keys *keys;
    enum err e = keys_get(c, &keys);
    char *token =
        e ? NULL
          : token_encode(keys, permissions, clock_wall_us() / 1000000, c->cfg->token_lifetime);

    if (!token)
        reply_err(c, e ? e : ERR_INTERNAL);
    else if (strlen(token) > TOKEN_LARGE)
        log_warn("the token of client %s has %zu bytes, more than clients can send in a header; "
                 "shorten its queues, for instance by \"*\"",
                 json_string_value(json_object_get(permissions, "client_id")), strlen(token));
    return token;
}

static void tell_created(const struct call *c, const json_t *permissions)
{
    security_event(c, SECURITY_INFO, "A token was issued", "authn_token_created:%s,%s",
                   json_string_value(json_object_get(permissions, "client_id")),
                   role_name(role_of(permissions)));
}

/* Makes and stores a refresh token. */
static enum err add_refresh(struct call *c, const char *client_id, char out[REFRESH_TEXT_SIZE])
{
    unsigned char random[REFRESH_BYTES];
    char digest[SHA256_TEXT_SIZE];
    struct buf text = BUF_INIT(REFRESH_TEXT_SIZE);
    struct refresh_new token = {.client_id = client_id, .digest = digest};

    random_fill(random, sizeof random);
    enum err e = base64_encode(random, sizeof random, BASE64_URL, &text);
    if (!e) {
        snprintf(out, REFRESH_TEXT_SIZE, "%s", text.data);
        sha256_text((struct text){text.data, text.len}, digest);
        token.issued_ms = clock_wall_us() / 1000;
        token.expires_ms = token.issued_ms + c->cfg->refresh_lifetime * 1000;
        e = store_refresh_add(c->store, &token);
    }
    buf_free(&text);
    return e;
}

static json_t *token_json(const struct call *c, const char *token)
{
    return json_pack("{s:s, s:s, s:I}", "access_token", token, "token_type", "Bearer", "expires_in",
                     (json_int_t)c->cfg->token_lifetime);
}

/* Answers a client that has logged in. HEAD has no effect, so it stores no refresh token. */
static void issue(struct call *c, const json_t *client)
{
    json_t *permissions = client_permissions(client, true), *body;
    const char *id = json_string_value(json_object_get(permissions, "client_id"));
    char refresh[REFRESH_TEXT_SIZE] = "", *token = sign(c, permissions);
    bool json = wants_json(c);
    enum err e = token && json && !c->request->head ? add_refresh(c, id, refresh) : ERR_OK;

    if (token && e) {
        reply_err(c, e);
    } else if (token) {
        security_event(c, SECURITY_INFO, "A client has logged in", "authn_login_success:%s", id);
        tell_created(c, permissions);
        if (json) {
            body = token_json(c, token);
            json_object_set_new(body, "refresh_token", json_string(refresh));
            reply_json(c, 200, body);
        } else {
            reply_text(c, 200, token);
        }
    }
    free(token);
    json_decref(permissions);
}

static void login_failed(struct call *c, struct text client_id, const char *why)
{
    security_event(c, SECURITY_WARN, why, "authn_login_fail:%.*s", (int)client_id.len, client_id.s);
    reply_text(c, 401, why);
}

static void locked(struct call *c, int64_t wait_s)
{
    char text[96];

    snprintf(text, sizeof text, "%lld", (long long)wait_s);
    reply_header(c, "Retry-After", text);
    snprintf(text, sizeof text, "Too many failed logins; try again in %lld seconds",
             (long long)wait_s);
    reply_text(c, 429, text);
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
        login_failed(c, unknown, NO_HEADER);
        return;
    }
    if (!credentials_read(header, &k)) {
        login_failed(c, unknown, NO_CREDENTIALS);
    } else {
        switch (login_check(c, &k, &client, &wait_s)) {
        case LOGIN_OK:
            issue(c, client);
            break;
        case LOGIN_WRONG:
            login_failed(c, k.client_id, BAD_CREDENTIALS);
            break;
        case LOGIN_LOCKED:
            locked(c, wait_s);
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

/* Finds the refresh token of the body. Not ERR_OK: answered, with `missing` where there is no such
 * token; ERR_INVALID: by the body's faults. */
static enum err find_refresh(struct call *c, const char *missing, struct refresh_found *ret)
{
    json_t *body = json_body_load(c, &schema_refresh, 0);
    const json_t *text = json_object_get(body, "refresh_token");
    char digest[SHA256_TEXT_SIZE];
    struct refresh_key key = {
        {json_string_value(text), json_string_length(text)},
        digest
    };

    if (!body)
        return ERR_INVALID;
    sha256_text(key.token, digest);
    enum err e = store_refresh_find(c->store, &key, ret);
    json_decref(body);
    if (e == ERR_NOT_FOUND)
        reply_error(c, 400, "%s", missing);
    else if (e)
        reply_err(c, e);
    return e;
}

static bool is_usable(struct call *c, const struct refresh_found *r)
{
    const char *client = json_string_value(r->client_id);
    bool expired = r->expires_ms <= clock_wall_us() / 1000;

    if (!r->revoked && !expired)
        return true;
    security_event(c, SECURITY_CRITICAL,
                   r->revoked ? "A revoked refresh token was used"
                              : "An expired refresh token was used",
                   "authn_token_reuse:%s,%s", client, r->id);
    reply_error(c, 400, r->revoked ? "Refresh token revoked." : "Refresh token expired");
    return false;
}

/* Answers with a token for the client's permissions as they are now. */
static void refresh(struct call *c, const struct refresh_found *r)
{
    struct text id = {json_string_value(r->client_id), json_string_length(r->client_id)};
    json_t *client = NULL;
    enum err e = store_client_get(c->store, id, &client);

    if (!e)
        e = store_refresh_touch(c->store, r->id, clock_wall_us() / 1000);
    if (e == ERR_NOT_FOUND) {
        reply_error(c, 400, "Invalid refresh token.");
    } else if (e) {
        reply_err(c, e);
    } else {
        json_t *permissions = client_permissions(client, false);
        char *token = sign(c, permissions);
        if (token) {
            tell_created(c, permissions);
            reply_json(c, 200, token_json(c, token));
        }
        free(token);
        json_decref(permissions);
    }
    json_decref(client);
}

void h_token_refresh(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct refresh_found found = {0};

    (void)n;
    if (!find_refresh(c, "Invalid refresh token.", &found) && is_usable(c, &found))
        refresh(c, &found);
    if (c->reply.status == 422)
        security_event(c, SECURITY_WARN, "No refresh token in the request",
                       "authn_login_fail:unknown");
    json_decref(found.client_id);
}

void h_token_revoke(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct refresh_found found = {0};
    bool revoked = false;

    (void)n;
    if (find_refresh(c, "Refresh token not found", &found))
        return;
    enum err e = store_refresh_revoke(c->store, found.id, &revoked);
    if (e == ERR_NOT_FOUND) {
        reply_error(c, 400, "Refresh token not found");
    } else if (e) {
        reply_err(c, e);
    } else if (!revoked && !c->repeat) {
        reply_error(c, 400, "Refresh token has already been revoked");
    } else {
        const char *client = json_string_value(found.client_id);
        security_event(c, SECURITY_INFO, "A refresh token was revoked", "authn_token_revoked:%s,%s",
                       client, found.id);
        audit(c, "token.revoke", (struct text){client, json_string_length(found.client_id)},
              json_pack("{s:s}", "token", found.id));
        reply_json(c, 200, json_pack("{s:s}", "status", "OK"));
    }
    json_decref(found.client_id);
}
