/* Secrets of clients: stored and removed. Nothing reads one back but the claim of a job. */
#include "common/buf.h"
#include "common/metrics.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/http/jsonbody.h"
#include "worker/request/call.h"
#include "worker/secrets/names.h"
#include "worker/secrets/wipe.h"
#include "worker/validation/schemas.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

handler_fn h_secret_put, h_secret_delete;

#define EXPIRE_DEFAULT_S 31536000 /* a year */
#define DATE_SIZE        64

#define NO_LOGIN "A login (known client_id) is required to securely store information."
#define BAD_PATH                                                                                   \
    "', not a valid path. \nPaths must only contain alphanumeric characters, hyphens (-), "        \
    "underscores (_), and forward slashes (/). Additionally, paths must not start or end with a "  \
    "forward slash (/)."
#define BOTH "Provide either 'ephemeral' or 'expire_after', not both."

/* How much of a path goes into a text. */
static int shown_len(struct text path)
{
    return (int)(path.len < SECRET_PATH_MAX ? path.len : SECRET_PATH_MAX);
}

static void refuse_path(struct call *c, struct text path)
{
    struct buf text = BUF_INIT(4 * SECRET_PATH_MAX + sizeof BAD_PATH);
    const char *begin = "Invalid value '";
    /* A longer path is cut between two characters or not shown: what is no UTF-8 is no JSON. */
    size_t len = path.len <= 4 * SECRET_PATH_MAX - strlen(begin) ? path.len : 0;

    if (!buf_add(&text, begin, strlen(begin)) && !buf_add(&text, path.s, len) &&
        !buf_add(&text, BAD_PATH, strlen(BAD_PATH)))
        reply_json(
            c, 422,
            json_pack("{s:{}, s:o}", "detail", "message", json_stringn(text.data, text.len)));
    buf_free(&text);
    if (!c->reply.status)
        reply_error(c, 422, "Invalid value");
}

/* The checks of both methods, in the contract's order. False: answered. */
static bool may(struct call *c)
{
    struct text client = c->request->params[0], path = c->request->params[1], id = caller_id(c);

    if (!c->store->has_secrets) {
        reply_error(c, 400, "No secrets store");
    } else if (!id.s) {
        reply_error(c, 401, NO_LOGIN);
    } else if (!text_equal(client, id)) {
        reply_error(c, 403, "'%.*s' doesn't match authenticated client id",
                    security_shown_len(client), client.s);
        security_refused(c, "the secrets of another client");
    } else if (!secret_path_valid(path)) {
        refuse_path(c, path);
    } else {
        return true;
    }
    return false;
}

static void refuse(struct call *c, enum err e)
{
    struct text client = c->request->params[0], path = c->request->params[1];

    metric_add(M_SECRETS_FAULTS, 0, 1);
    if (e == ERR_INVALID || e == ERR_INTERNAL)
        reply_error(c, e == ERR_INVALID ? 400 : 500, "Unable to access %s'%.*s' under '%.*s'",
                    e == ERR_INVALID ? "" : "store for ", shown_len(path), path.s,
                    security_shown_len(client), client.s);
    else
        reply_err(c, e);
}

/* The secret in the security log and the audit trail. */
static void tell(struct call *c, const char *act, const char *action, json_t *detail)
{
    struct text client = c->request->params[0], path = c->request->params[1];
    struct buf target = BUF_INIT(client.len + path.len + 1);

    metric_add(M_SECRETS_WRITTEN, 0, 1);
    security_event(c, SECURITY_WARN, "A secret was changed", "sensitive_%s:%.*s,%.*s", act,
                   security_shown_len(client), client.s, shown_len(path), path.s);
    if (buf_add(&target, client.s, client.len) || buf_add(&target, "/", 1) ||
        buf_add(&target, path.s, path.len))
        json_decref(detail);
    else
        audit(c, action, (struct text){target.data, target.len}, detail);
    buf_free(&target);
}

/* The date as old versions of Python read it, too: +00:00, not Z. */
static void date_text(int64_t ms, char out[DATE_SIZE])
{
    time_t seconds = (time_t)(ms / 1000);
    char day[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, DATE_SIZE, "%s.%03d+00:00", day, (int)(ms % 1000));
}

/* ---- PUT ---- */

/* Answers a repeat with what the first run answered, which stands in the audit trail. */
static bool was_put(struct call *c)
{
    json_t *detail = NULL;
    enum err e = audit_detail(c, &detail);

    if (!e)
        reply_json(c, 200,
                   json_pack("{s:O?}", "expires_at", json_object_get(detail, "expires_at")));
    json_decref(detail);
    return e != ERR_NOT_FOUND;
}

static void put(struct call *c, const json_t *body)
{
    const json_t *after = json_object_get(body, "expire_after");
    struct secret_put p = {.client = c->request->params[0],
                           .path = c->request->params[1],
                           .value = json_string_text(json_object_get(body, "value")),
                           .single_use = json_is_true(json_object_get(body, "ephemeral"))};
    char date[DATE_SIZE] = "";

    if (p.single_use && after && !json_is_null(after)) {
        reply_invalid(c, json_pack("{s:[s]}", "_schema", BOTH));
        return;
    }
    if (!may(c) || was_put(c))
        return;
    if (!p.single_use && !(after && json_is_null(after)))
        p.expires_ms =
            store_now_ms(c->store) + (after ? json_integer_value(after) : EXPIRE_DEFAULT_S) * 1000;
    enum err e = store_secret_put(c->store, &p);
    if (e) {
        refuse(c, e);
        return;
    }
    if (p.expires_ms)
        date_text(p.expires_ms, date);
    json_t *answer = json_pack("{s:s?}", "expires_at", *date ? date : NULL);
    tell(c, p.existed ? "update" : "create", "secret.put", json_incref(answer));
    reply_json(c, 200, answer);
}

void h_secret_put(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text sent = c->request->body;

    (void)n;
    wipe_json(true);
    json_t *body = json_body_load(c, &schema_secret, 0);
    if (body)
        put(c, body);
    json_decref(body);
    wipe_json(false);
    if (sent.len) /* the message is ours, and nobody reads it again */
        explicit_bzero((char *)(uintptr_t)sent.s, sent.len);
}

/* ---- DELETE ---- */

void h_secret_delete(struct call *calls[], size_t n)
{
    struct call *c = calls[0];

    (void)n;
    if (!may(c) || audit_repeat_answered(c))
        return;
    enum err e = store_secret_delete(c->store, c->request->params[0], c->request->params[1]);
    if (e) {
        refuse(c, e);
        return;
    }
    tell(c, "delete", "secret.delete", NULL);
    reply_text(c, 200, "OK");
}
