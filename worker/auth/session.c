#include "worker/auth/session.h"

#include "common/log.h"
#include "worker/auth/signing_keys.h"
#include "worker/auth/token_issue.h"
#include "worker/clients/roles.h"
#include "worker/encoding/json_string.h"
#include "worker/encoding/sha256.h"
#include "worker/http/cookie.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define COOKIE     "tf_session"
#define COOKIE_MAX 128

/* What no client can send as a refresh token: its first byte is not UTF-8. So a session is none to
 * servers that do not know of sessions either. */
#define DIGEST_START "\xff"
#define FORM_START   "form of the session "

static void digest_of(struct text text, char out[SHA256_TEXT_SIZE])
{
    char whole[COOKIE_MAX + sizeof DIGEST_START];
    int len = snprintf(whole, sizeof whole, DIGEST_START "%.*s", (int)text.len, text.s);

    sha256_text((struct text){whole, (size_t)len}, out);
}

static void form_of(struct text key, const char *digest, char out[CALLER_FORM_SIZE])
{
    char text[sizeof FORM_START + SHA256_TEXT_SIZE];
    unsigned char mac[EVP_MAX_MD_SIZE];
    int len = snprintf(text, sizeof text, FORM_START "%s", digest);

    HMAC(EVP_sha256(), key.s, (int)key.len, (const unsigned char *)text, (size_t)len, mac, NULL);
    hex_print(mac, (CALLER_FORM_SIZE - 1) / 2, out);
}

/* A session that goes on is stored as used once in SESSION_RENEW_S. It may be lost: the next page
 * renews it. */
static void renew(const struct call *c, const struct refresh_found *r, int64_t now_ms)
{
    int64_t end_ms = now_ms + (int64_t)SESSION_LIFETIME_S * 1000;

    if (c->request->head || end_ms - r->expires_ms < (int64_t)SESSION_RENEW_S * 1000)
        return;
    enum err e = store_refresh_touch(c->store, r->id, now_ms, end_ms);
    if (e)
        log_debug("the session of a browser is not renewed now: %s", err_text(e));
}

/* A session of the client as it is now. */
static enum err take(struct call *c, const struct refresh_found *r, const json_t *client,
                     const char *digest)
{
    const struct token_keys *keys;
    struct caller *who = &c->caller;
    enum err e = signing_keys_get(c, &keys);

    if (e)
        return e;
    who->has_token = true;
    who->permissions = client_permissions(client, false);
    who->role = role_of(who->permissions);
    who->issued_s = r->issued_ms / 1000;
    snprintf(who->binding, sizeof who->binding, "%.*s", BINDING_SIZE - 1, r->binding);
    snprintf(who->session, sizeof who->session, "%s", r->id);
    form_of(keys->keys[0], digest, who->form);
    return ERR_OK;
}

static enum err look(struct call *c, struct text text)
{
    char digest[SHA256_TEXT_SIZE];
    int64_t now_ms = store_now_ms(c->store);
    struct refresh_found r = {0};
    json_t *client = NULL;

    digest_of(text, digest);
    /* The text itself is not stored: look for the digest alone. */
    struct refresh_key key = {{digest, strlen(digest)}, digest};
    enum err e = store_refresh_find(c->store, &key, &r);
    if (!e)
        e = store_client_get(c->store, json_string_text(r.client_id), &client);
    if (!e && r.web && !r.revoked && r.expires_ms > now_ms &&
        client_issued(client, r.binding, r.issued_ms)) {
        e = take(c, &r, client, digest);
        if (!e)
            renew(c, &r, now_ms);
    }
    json_decref(client);
    json_decref(r.client_id);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err session_look(struct call *c)
{
    struct text cookies = c->request->headers[HDR_COOKIE];
    struct buf text = BUF_INIT(COOKIE_MAX);
    enum err e = ERR_OK;

    if (cookies.s && cookie_get(cookies, COOKIE, &text) && strlen(text.data) == text.len)
        e = look(c, (struct text){text.data, text.len});
    buf_free(&text);
    return e;
}

bool session_form_fits(const struct call *c, struct text sent)
{
    const char *form = c->caller.form;

    return *form && sent.len == strlen(form) && CRYPTO_memcmp(sent.s, form, sent.len) == 0;
}

/* An empty text removes the cookie. */
static void set_cookie(struct call *c, const char *text)
{
    char cookie[COOKIE_MAX + 128];
    bool secure = c->cfg->web_secure == WEB_SECURE_YES ||
                  (c->cfg->web_secure == WEB_SECURE_AUTO && c->request->https);

    snprintf(cookie, sizeof cookie, COOKIE "=%s; Path=/; HttpOnly; SameSite=Lax%s%s", text,
             secure ? "; Secure" : "", *text ? "" : "; Max-Age=0");
    reply_header(c, "Set-Cookie", cookie);
}

enum err session_begin(struct call *c, const json_t *client)
{
    struct refresh_draft draft;
    enum err e = token_issue_draft(c, client, &draft);

    if (e)
        return e;
    digest_of((struct text){draft.text, strlen(draft.text)}, draft.digest);
    draft.token.web = true;
    draft.token.expires_ms = draft.token.issued_ms + (int64_t)SESSION_LIFETIME_S * 1000;
    e = store_refresh_add(c->store, &draft.token);
    if (!e)
        set_cookie(c, draft.text);
    return e;
}

enum err session_end(struct call *c)
{
    bool ended = false;
    enum err e =
        *c->caller.session ? store_refresh_revoke(c->store, c->caller.session, &ended) : ERR_OK;

    if (e && e != ERR_NOT_FOUND)
        return e;
    set_cookie(c, "");
    return ERR_OK;
}
