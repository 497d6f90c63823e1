/* Refresh tokens and sessions of a client. */
#include "common/op.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/refresh.h"
#include "worker/http/query.h"
#include "worker/web/admin.h"
#include "worker/web/page.h"
#include "worker/web/rows.h"
#include "worker/web/values.h"

#include <stdio.h>
#include <string.h>

handler_fn h_page_tokens, h_page_token_revoke, h_web_token_revoke;

#define SHOWN_MAX 100 /* rows of a page */

/* An id as the store takes it; "" where it is none. */
static const char *id_of(struct text t, char out[REFRESH_ID_SIZE])
{
    bool fits = t.len && t.len < REFRESH_ID_SIZE && !memchr(t.s, 0, t.len);

    snprintf(out, REFRESH_ID_SIZE, "%.*s", fits ? (int)t.len : 0, fits ? t.s : "");
    return out;
}

/* Gives the rows what the table shows beyond the documents. */
static void fill(json_t *tokens)
{
    json_t *token;
    size_t i;

    json_array_foreach (tokens, i, token) {
        const json_t *client = json_object_get(token, "client_id");
        const json_t *id = json_object_get(token, "id");
        bool web = json_is_string(json_object_get(token, "kind"));
        json_t *before = page_url("/admin/tokens/", json_string_text(client), "/");
        json_object_set_new(token, "kind", json_string(web ? "session" : "refresh token"));
        json_object_set_new(
            token, "act",
            admin_link("Revoke",
                       page_url(json_string_value(before), json_string_text(id), "/revoke"), true));
        json_decref(before);
    }
}

/* The table of a client's tokens. */
static enum err table(struct call *c, struct text client_id, json_t **ret)
{
    static const struct admin_column columns[] = {{"Kind", "kind", ADMIN_TEXT, NULL},
                                                  {"Issued", "issued_at", ADMIN_DATE, NULL},
                                                  {"Last used", "last_accessed", ADMIN_DATE, NULL},
                                                  {"Ends", "expires_at", ADMIN_DATE, NULL},
                                                  {"Id", "id", ADMIN_TEXT, NULL},
                                                  {0}};
    struct refresh_page page = {
        .client_id = client_id, .now_ms = store_now_ms(c->store), .limit = SHOWN_MAX};
    struct text cursor = {NULL, 0};
    char before[REFRESH_ID_SIZE];
    json_t *tokens = NULL;

    if (query_first(c->request, "cursor", &cursor) && cursor.len)
        page.before = id_of(cursor, before);
    enum err e = store_refresh_valid(c->store, &page, &tokens);
    if (e)
        return e;
    size_t n = json_array_size(tokens);
    const char *last = json_string_value(json_object_get(json_array_get(tokens, n - 1), "id"));
    json_t *next = n == SHOWN_MAX && last ? rows_url(c, "cursor", last) : NULL;
    fill(tokens);
    *ret = admin_table("Valid tokens and sessions, newest first",
                       "The client has no valid token and no session.", columns, tokens, next);
    json_decref(tokens);
    return ERR_OK;
}

void h_page_tokens(struct call *calls[], size_t n)
{
    static const struct admin_filter filter = {"client_id", "Client id"};
    struct call *c = calls[0];
    struct text client_id = {NULL, 0};
    json_t *tables = json_array(), *one = NULL;
    enum err e = ERR_OK;

    (void)n;
    if (query_first(c->request, "client_id", &client_id) && client_id.len)
        e = table(c, client_id, &one);
    if (one)
        json_array_append_new(tables, one);
    if (e)
        reply_err(c, e);
    else
        admin_reply(
            c, "Tokens",
            json_pack("{s:o, s:O}", "filters", admin_filters(c, &filter, 1), "tables", tables));
    json_decref(tables);
}

/* The token of the path, if it is valid; NULL: answered. A new reference. */
static json_t *token_of(struct call *c)
{
    char id[REFRESH_ID_SIZE];
    const struct refresh_page page = {.client_id = c->request->params[0],
                                      .id = id_of(c->request->params[1], id),
                                      .now_ms = store_now_ms(c->store),
                                      .limit = 1};
    json_t *tokens = NULL;
    enum err e = store_refresh_valid(c->store, &page, &tokens);
    json_t *token = json_incref(json_array_get(tokens, 0));

    if (e)
        reply_err(c, e);
    else if (!token)
        page_not_found(c, "Token", c->request->params[1]);
    json_decref(tokens);
    return token;
}

/* The address of the client's tokens. */
static json_t *tokens_url(const struct call *c, const char *behind)
{
    return page_url("/admin/tokens?client_id=", c->request->params[0], behind);
}

void h_page_token_revoke(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *token = token_of(c);

    (void)n;
    if (token) {
        json_t *before = page_url("/admin/tokens/", c->request->params[0], "/");
        admin_ask(c, "Revoke a token",
                  "Who uses it has to sign in or log in again. Revoke the token or session of",
                  c->request->params[0],
                  admin_form(NULL,
                             page_url(json_string_value(before), c->request->params[1], "/revoke"),
                             json_array(), "Revoke", true),
                  tokens_url(c, ""));
        json_decref(before);
    }
    json_decref(token);
}

/* Revokes a token that is valid, as the API does. A request that comes again may have revoked it,
 * without an entry in the audit trail. */
static void revoke(struct call *c)
{
    struct refresh_found found = {.client_id = page_text(c->request->params[0])};
    json_t *token = c->repeat ? NULL : token_of(c);

    id_of(c->request->params[1], found.id);
    if (token || c->repeat)
        refresh_revoke_found(c, &found);
    json_decref(token);
    json_decref((json_t *)(uintptr_t)found.client_id);
    if (c->reply.status == 200)
        page_see_other(c, tokens_url(c, "&done=revoked"));
}

void h_web_token_revoke(struct call *calls[], size_t n)
{
    struct call *c = calls[0];

    (void)n;
    if (!audit_repeat_answered(c))
        revoke(c);
    else if (c->reply.status == 200)
        page_see_other(c, tokens_url(c, "&done=revoked"));
}
