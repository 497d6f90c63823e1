#include "worker/request/call.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/request/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"

struct asked call_asked(const struct call *c)
{
    return (struct asked){c->request->id, c->request->received_us, c->repeat};
}

int64_t lease_end_ms(const struct call *c)
{
    return c->cfg->job_lease ? store_now_ms(c->store) + c->cfg->job_lease * 1000 : 0;
}

struct text caller_id(const struct call *c)
{
    const json_t *id = json_object_get(c->caller.permissions, "client_id");

    return json_string_text(id);
}

void reply_header(struct call *c, const char *name, const char *value)
{
    struct reply *r = &c->reply;

    for (size_t i = 0; i < r->headers_len; i++)
        if (strcmp(r->headers[i].name, name) == 0) { /* a second answer instead of the first */
            free(c->header_values[i]);
            c->header_values[i] = mem_strdup(value);
            r->headers[i].value = c->header_values[i];
            return;
        }
    if (r->headers_len == REPLY_HEADERS_MAX)
        return;
    c->header_values[r->headers_len] = mem_strdup(value);
    r->headers[r->headers_len].name = name;
    r->headers[r->headers_len].value = c->header_values[r->headers_len];
    r->headers_len++;
}

/* 500 instead of an answer that no message can hold. */
static void reply_too_long(struct call *c, size_t len)
{
    struct text about =
        c->request && c->request->params_len ? c->request->params[0] : (struct text){"", 0};

    if (!c->request || log_admit("answer too large", c->request->peer.s, c->request->peer.len))
        log_error(
            "request %s, %s %.*s: the answer would hold %zu bytes, a message takes %zu; 500 is "
            "answered instead, remove what it is about or ask for a part of it",
            c->request ? c->request->id : "-", c->route ? route_name(c->route) : "-",
            (int)(about.len < 256 ? about.len : 256), about.s, len, ANSWER_MAX);
    c->reply.claimed = false;
    reply_err(c, ERR_ANSWER_TOO_LARGE);
}

static void body_free(const struct call *c, char *body)
{
    if (c->secret)
        mem_wipe(body);
    else
        free(body);
}

/* Sets status, type and body; takes the body's memory. */
static void reply_take(struct call *c, int status, const char *type, char *body, size_t len)
{
    if (len > ANSWER_MAX) {
        body_free(c, body);
        reply_too_long(c, len);
        return;
    }
    c->reply.status = status;
    body_free(c, c->body);
    c->body = body;
    c->reply.body = (struct text){body ? body : "", len};
    reply_header(c, "Content-Type", type);
}

void reply_bytes(struct call *c, int status, const char *content_type, const char *data, size_t len)
{
    reply_take(c, status, content_type, mem_strndup(data, len), len);
}

void reply_buf(struct call *c, int status, const char *content_type, struct buf *body)
{
    reply_take(c, status, content_type, body->data, body->len);
    *body = BUF_INIT(body->max);
}

void reply_text(struct call *c, int status, const char *text)
{
    reply_bytes(c, status, TYPE_TEXT, text, strlen(text));
}

void reply_json(struct call *c, int status, json_t *value)
{
    const size_t guess = 2048;
    char *body = mem_alloc(guess);
    size_t len = json_dumpb(value, body, guess, ANSWER_JSON);

    if (len > ANSWER_MAX) {
        body_free(c, body);
        json_decref(value);
        reply_too_long(c, len);
        return;
    }
    if (len > guess) {
        body_free(c, body);
        body = mem_alloc(len);
        len = json_dumpb(value, body, len, ANSWER_JSON);
    }
    json_decref(value);
    reply_take(c, status, TYPE_JSON, body, len);
}

void reply_none(struct call *c)
{
    reply_take(c, 204, TYPE_JSON, NULL, 0);
}

void reply_error(struct call *c, int status, const char *fmt, ...)
{
    char message[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    json_t *text = json_string(message);
    /* A cut in the middle of a character leaves no valid UTF-8. */
    reply_json(c, status,
               json_pack("{s:{}, s:o}", "detail", "message", text ? text : json_string("Error")));
}

void reply_invalid(struct call *c, json_t *errors)
{
    reply_json(
        c, 422,
        json_pack("{s:{s:o}, s:s}", "detail", "json", errors, "message", "Validation error"));
}

void reply_err(struct call *c, enum err e)
{
    char seconds[16];

    if (err_retry(e)) {
        snprintf(seconds, sizeof seconds, "%d", err_retry(e));
        reply_header(c, "Retry-After", seconds);
    }
    reply_error(c, err_status(e), "%s", err_text(e));
}

void call_wakes(struct call *c, struct text queue)
{
    for (size_t i = 0; i < c->wakes_len; i++)
        if (strlen(c->wakes[i]) == queue.len && memcmp(c->wakes[i], queue.s, queue.len) == 0)
            return;
    c->wakes = mem_realloc(c->wakes, (c->wakes_len + 1) * sizeof *c->wakes);
    c->wakes[c->wakes_len++] = mem_strndup(queue.len ? queue.s : "", queue.len);
}

void call_done(struct call *c)
{
    body_free(c, c->body);
    free(c->form);
    c->form = NULL;
    for (size_t i = 0; i < c->wakes_len; i++)
        free(c->wakes[i]);
    free(c->wakes);
    c->wakes = NULL;
    c->wakes_len = 0;
    event_post_free(c->later);
    c->later = NULL;
    json_decref(c->caller.permissions);
    c->caller.permissions = NULL;
    for (size_t i = 0; i < c->reply.headers_len; i++)
        free(c->header_values[i]);
}
