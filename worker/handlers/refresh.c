/* Refresh tokens: use, rotation and revocation. */
#include "worker/handlers/refresh.h"

#include "worker/auth/security_log.h"
#include "worker/auth/token_issue.h"
#include "worker/clients/document.h"
#include "worker/encoding/json_string.h"
#include "worker/encoding/sha256.h"
#include "worker/http/jsonbody.h"
#include "worker/request/call.h"
#include "worker/validation/schemas.h"

#include <stdlib.h>
#include <string.h>

handler_fn h_token_refresh, h_token_revoke;

#define INVALID "Invalid refresh token."
#define REVOKED "Refresh token revoked."

/* Finds the refresh token of the body. On an error the call is answered: with `missing` for an
 * unknown token. */
static enum err find_refresh(struct call *c, const char *missing, struct refresh_found *ret)
{
    json_t *body = json_body_load(c, &schema_refresh, 0);
    const json_t *text = json_object_get(body, "refresh_token");
    char digest[SHA256_TEXT_SIZE];
    struct refresh_key key = {json_string_text(text), digest};

    if (!body)
        return ERR_INVALID;
    sha256_text(key.token, digest);
    enum err e = store_refresh_find(c->store, &key, ret);
    if (!e && ret->web) { /* a session of a browser is no refresh token */
        json_decref(ret->client_id);
        ret->client_id = NULL;
        e = ERR_NOT_FOUND;
    }
    json_decref(body);
    if (e == ERR_NOT_FOUND)
        reply_error(c, 400, "%s", missing);
    else if (e)
        reply_err(c, e);
    return e;
}

/* Answers and logs the use of a refresh token that is not valid any more. */
static void refuse(struct call *c, const struct refresh_found *r, const char *why,
                   const char *answer)
{
    security_event(c, SECURITY_CRITICAL, why, "authn_token_reuse:%s,%s",
                   json_string_value(r->client_id), r->id);
    reply_error(c, 400, "%s", answer);
}

/* A rotated token was used again: it has leaked, so revoke its whole family (RFC 9700 4.14). */
static void end_family(struct call *c, const struct refresh_found *r)
{
    int64_t n = 0;
    enum err e = store_refresh_revoke_family(c->store, r->family, &n);

    if (e) {
        reply_err(c, e);
        return;
    }
    token_issue_ended(c, json_string_text(r->client_id), n, "a rotated token was used again");
    refuse(c, r, "A revoked refresh token was used: it had been rotated", REVOKED);
}

/* Adds the family's next token to the answer. On an error the call is answered. */
static enum err rotate(struct call *c, const struct refresh_found *r, const json_t *client,
                       json_t *answer)
{
    struct refresh_draft draft;
    enum refresh_rotated rotated = REFRESH_REVOKED;
    enum err e = token_issue_draft(c, client, &draft);

    draft.token.family = r->family;
    draft.token.expires_ms = r->expires_ms; /* all tokens of a family expire with the first */
    struct refresh_rotation rotation = {.id = r->id,
                                        .request_id = c->request->id,
                                        .now_ms = store_now_ms(c->store),
                                        .grace_ms = c->cfg->refresh_grace * 1000,
                                        .next = draft.token};
    if (!e)
        e = store_refresh_rotate(c->store, &rotation, &rotated);
    if (!e && rotated == REFRESH_NEXT) {
        json_object_set_new(answer, "refresh_token", json_string(draft.text));
        return ERR_OK;
    }
    if (e == ERR_NOT_FOUND)
        reply_error(c, 400, INVALID);
    else if (e)
        reply_err(c, e);
    else if (rotated == REFRESH_REUSED)
        end_family(c, r);
    else
        refuse(c, r, "A revoked refresh token was used", REVOKED);
    return e ? e : ERR_INVALID;
}

/* Notes the use of the token. On an error the call is answered. */
static enum err touch(struct call *c, const struct refresh_found *r)
{
    enum err e = store_refresh_touch(c->store, r->id, store_now_ms(c->store), 0);

    if (e == ERR_NOT_FOUND)
        reply_error(c, 400, INVALID);
    else if (e)
        reply_err(c, e);
    return e;
}

/* Answers with a token for the client's permissions as they are now. */
static void answer(struct call *c, const struct refresh_found *r, const json_t *client)
{
    json_t *permissions = client_permissions(client, false), *body = NULL;
    char *token = token_issue_token(c, client, permissions);

    if (token) {
        body = token_issue_json(c, token);
        enum err e = c->cfg->refresh_rotation ? rotate(c, r, client, body) : touch(c, r);
        if (!e) {
            token_issue_told(c, permissions, "refreshed");
            reply_json(c, 200, json_incref(body));
        }
    }
    json_decref(body);
    free(token);
    json_decref(permissions);
}

/* The token belongs to a former client of this name, or another program changed the client's secret
 * or role directly in the store: revoke it. */
static void end_foreign(struct call *c, const struct refresh_found *r)
{
    bool now = false;
    enum err e = store_refresh_revoke(c->store, r->id, &now);

    if (e && e != ERR_NOT_FOUND) {
        reply_err(c, e);
        return;
    }
    token_issue_ended(c, json_string_text(r->client_id), now,
                      "the client is another one, or its secret or role has changed");
    refuse(c, r, "A revoked refresh token was used: it is older than the client's change", REVOKED);
}

static void refresh(struct call *c, const struct refresh_found *r)
{
    struct text id = json_string_text(r->client_id);
    json_t *client = NULL;
    enum err e = store_client_get(c->store, id, &client);

    if (e == ERR_NOT_FOUND)
        refuse(c, r, "A revoked refresh token was used: its client was removed", INVALID);
    else if (e)
        reply_err(c, e);
    else if (r->revoked)
        refuse(c, r, "A revoked refresh token was used", REVOKED);
    else if (r->expires_ms <= store_now_ms(c->store))
        refuse(c, r, "An expired refresh token was used", "Refresh token expired");
    else if (!client_issued(client, r->binding, r->issued_ms))
        end_foreign(c, r);
    else
        answer(c, r, client);
    json_decref(client);
}

void h_token_refresh(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct refresh_found found = {0};

    (void)n;
    enum err e = find_refresh(c, INVALID, &found);
    if (!e)
        refresh(c, &found);
    else if (c->reply.status < 500)
        security_event(c, SECURITY_WARN,
                       e == ERR_NOT_FOUND ? "Refresh token request rejected: unknown token"
                                          : "Refresh token request rejected: faulty body",
                       "authn_login_fail:unknown");
    json_decref(found.client_id);
}

static void revoke(struct call *c, const struct refresh_found *r)
{
    bool revoked = false;
    enum err e = store_refresh_revoke(c->store, r->id, &revoked);

    if (e == ERR_NOT_FOUND) {
        reply_error(c, 400, "Refresh token not found");
    } else if (e) {
        reply_err(c, e);
    } else if (!revoked && !c->repeat) {
        reply_error(c, 400, "Refresh token has already been revoked");
    } else {
        const char *client = json_string_value(r->client_id);
        security_event(c, SECURITY_INFO, "A refresh token was revoked", "authn_token_revoked:%s,%s",
                       client, r->id);
        audit(c, "token.revoke", (struct text){client, json_string_length(r->client_id)},
              json_pack("{s:s}", "token", r->id));
        reply_json(c, 200, json_pack("{s:s}", "status", "OK"));
    }
}

void refresh_revoke_found(struct call *c, const struct refresh_found *r)
{
    char action[AUDIT_ACTION_SIZE];
    enum err e = audit_find(c, action);

    if (e == ERR_NOT_FOUND)
        revoke(c, r);
    else if (!e)
        reply_json(c, 200, json_pack("{s:s}", "status", "OK"));
}

void h_token_revoke(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct refresh_found found = {0};

    (void)n;
    if (find_refresh(c, "Refresh token not found", &found))
        return;
    refresh_revoke_found(c, &found);
    json_decref(found.client_id);
}
