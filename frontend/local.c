#include "frontend/local.h"

#include "common/op.h"
#include "frontend/openapi.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"
#define NOT_FOUND                                                                                  \
    "Not found: 404 Not Found: The requested URL was not found on the server. If you entered the " \
    "URL manually please check your spelling and try again.\n"

static void add_header(struct local_answer *a, const char *name, const char *value)
{
    if (a->reply.headers_len == REPLY_HEADERS_MAX)
        return;
    a->reply.headers[a->reply.headers_len].name = name;
    a->reply.headers[a->reply.headers_len++].value = value;
}

static void set(struct local_answer *a, int status, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void set(struct local_answer *a, int status, const char *type, const char *fmt, ...)
{
    va_list ap;

    a->reply = (struct reply){.status = status};
    a->is_static = false;
    va_start(ap, fmt);
    vsnprintf(a->text, sizeof a->text, fmt, ap);
    va_end(ap);
    a->reply.body = (struct text){a->text, strlen(a->text)};
    add_header(a, "Content-Type", type);
}

void local_error(struct local_answer *a, int status, const char *text)
{
    set(a, status, TYPE_JSON, "{\"detail\": {}, \"message\": \"%s\"}", text);
    if (status == 503 || status == 507)
        add_header(a, "Retry-After", status == 503 ? "1" : "10");
}

void local_none(struct local_answer *a)
{
    a->reply = (struct reply){.status = 204, .body = {"", 0}};
    a->is_static = false;
    add_header(a, "Content-Type", TYPE_JSON);
}

void local_err(struct local_answer *a, enum err e)
{
    set(a, err_status(e), TYPE_JSON, "{\"detail\": {}, \"message\": \"%s\"}", err_text(e));
    if (err_retry(e)) {
        snprintf(a->retry, sizeof a->retry, "%d", err_retry(e));
        add_header(a, "Retry-After", a->retry);
    }
}

static void bad_method(struct local_answer *a, const struct parsed *p)
{
    local_error(a, 405, "Method Not Allowed");
    add_header(a, "Allow", p->allow);
}

/* Messages of the refusing statuses; those of 405 and 413 depend on the path. */
static const struct {
    int status;
    const char *text;
} verdicts[] = {
    {400, "Bad Request"},
    {413, TOO_LARGE_DEFAULT},
    {431, "Request Header Fields Too Large"},
    {503, "The server has no memory left for this client; try again shortly"},
    {505, "HTTP Version Not Supported"},
    {507, "The server has no room on its disk to take the body; try again later"},
};

void local_verdict(struct local_answer *a, int verdict, const struct parsed *p)
{
    const char *text = "Bad Request";

    if (verdict == 405) {
        if (*p->allow)
            bad_method(a, p);
        else
            set(a, 404, TYPE_TEXT, NOT_FOUND);
        return;
    }
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (verdicts[i].status == verdict)
            text = verdicts[i].text;
    if (verdict == 413 && p->route)
        text = route_too_large(p->route);
    local_error(a, verdict, text);
}

/* ---- the LOCAL rows of api.def ---- */

static void local_version(struct local_answer *a)
{
    set(a, 200, TYPE_TEXT, "Testflinger Server v" PROJECT_VERSION);
}

static void local_healthz(struct local_answer *a)
{
    set(a, 200, TYPE_JSON, "{\"status\": \"ok\"}");
}

static void local_openapi(struct local_answer *a)
{
    a->reply = (struct reply){.status = 200, .body = openapi_document()};
    a->is_static = true;
    add_header(a, "Content-Type", TYPE_JSON);
}

static void (*const handlers[OP_COUNT_])(struct local_answer *a) = {
#define LOCAL(op, handler, ...) [op] = handler,
#include "common/api.def"
};

void local_reply(struct local_answer *a, const struct parsed *p)
{
    switch (p->kind) {
    case REQUEST_ROUTED:
        handlers[route_op(p->route)](a);
        break;
    case REQUEST_OPTIONS:
        set(a, 200, TYPE_TEXT, "%s", "");
        add_header(a, "Allow", p->allow);
        break;
    case REQUEST_REDIRECT:
        set(a, 308, TYPE_TEXT, "%s", "");
        add_header(a, "Location", p->location);
        break;
    case REQUEST_BAD_METHOD:
        bad_method(a, p);
        break;
    case REQUEST_UNKNOWN:
        set(a, 404, TYPE_TEXT, NOT_FOUND);
        break;
    case REQUEST_TOO_MANY:
        local_error(a, 400, "More query parameters than the server takes");
        break;
    }
}
