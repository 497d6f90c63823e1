#include "worker/auth/token_issue.h"

#include "common/log.h"
#include "common/random.h"
#include "worker/auth/bcrypt.h"
#include "worker/auth/security_log.h"
#include "worker/auth/signing_keys.h"
#include "worker/clients/document.h"
#include "worker/clients/roles.h"
#include "worker/encoding/base64.h"
#include "worker/encoding/json_string.h"
#include "worker/encoding/sha256.h"

#include <stdio.h>
#include <string.h>

#define REFRESH_BYTES 48

/* Bytes; a larger token fills most of the 8 KiB that clients can send in a header: warn. */
#define TOKEN_LARGE 7000

char *token_issue_token(struct call *c, const json_t *client, const json_t *permissions)
{
    const struct token_keys *keys;
    char binding[BINDING_SIZE];
    enum err e = signing_keys_get(c, &keys);

    client_binding(client, binding);
    char *token = e ? NULL
                    : token_encode(keys, permissions, binding, store_now_ms(c->store) / 1000,
                                   c->cfg->token_lifetime);
    if (!token)
        reply_err(c, e ? e : ERR_INTERNAL);
    else if (strlen(token) > TOKEN_LARGE)
        log_warn("the token of client %s has %zu bytes, more than clients can send in a header; "
                 "shorten its queues, for instance by \"*\"",
                 json_string_value(json_object_get(permissions, "client_id")), strlen(token));
    return token;
}

json_t *token_issue_json(const struct call *c, const char *token)
{
    return json_pack("{s:s, s:s, s:I}", "access_token", token, "token_type", "Bearer", "expires_in",
                     (json_int_t)c->cfg->token_lifetime);
}

void token_issue_told(const struct call *c, const json_t *permissions, const char *how)
{
    const char *id = json_string_value(json_object_get(permissions, "client_id"));
    char description[SECURITY_NAME_SIZE + 64];

    snprintf(description, sizeof description, "Access token %s for client %s", how, id);
    security_event(c, SECURITY_INFO, description, "authn_token_created:%s,%s", id,
                   role_name(role_of(permissions)));
}

enum err token_issue_draft(const struct call *c, const json_t *client, struct refresh_draft *ret)
{
    unsigned char random[REFRESH_BYTES];
    struct buf text = BUF_INIT(REFRESH_TEXT_SIZE);
    const json_t *id = json_object_get(client, "client_id");

    random_fill(random, sizeof random);
    enum err e = base64_encode(random, sizeof random, BASE64_URL, &text);
    if (!e) {
        snprintf(ret->text, sizeof ret->text, "%s", text.data);
        sha256_text((struct text){text.data, text.len}, ret->digest);
        client_binding(client, ret->binding);
        int64_t now_ms = store_now_ms(c->store);
        ret->token = (struct refresh_new){.client_id = json_string_text(id),
                                          .digest = ret->digest,
                                          .binding = ret->binding,
                                          .issued_ms = now_ms,
                                          .expires_ms = now_ms + c->cfg->refresh_lifetime * 1000};
    }
    buf_free(&text);
    return e;
}

enum err token_issue_refresh(struct call *c, const json_t *client, char out[REFRESH_TEXT_SIZE])
{
    struct refresh_draft draft;
    enum err e = token_issue_draft(c, client, &draft);

    if (!e)
        e = store_refresh_add(c->store, &draft.token);
    if (!e)
        memcpy(out, draft.text, sizeof draft.text);
    return e;
}

void token_issue_ended(const struct call *c, struct text client_id, int64_t n, const char *reason)
{
    char event[SECURITY_NAME_SIZE];

    if (!n)
        return;
    snprintf(event, sizeof event, "The refresh tokens of a client have ended: %s", reason);
    security_event(c, SECURITY_INFO, event, "authn_token_revoked:%.*s,all",
                   security_shown_len(client_id), client_id.s);
    audit_also(c, "token.revoke", client_id,
               json_pack("{s:I, s:s}", "tokens", (json_int_t)n, "reason", reason));
}
