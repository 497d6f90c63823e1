#include "frontend/local.h"

#include "common/accept.h"
#include "common/op.h"
#include "frontend/openapi.h"
#include "frontend/static_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"
#define NOT_FOUND                                                                                  \
    "Not found: 404 Not Found: The requested URL was not found on the server. If you entered the " \
    "URL manually please check your spelling and try again.\n"

#define TYPE_HTML "text/html; charset=utf-8"
#define ERROR_PAGE                                                                                 \
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>"           \
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"                     \
    "<link rel=\"stylesheet\" href=\"/static/app.css\"></head><body><main><h1>%s</h1><p>%s.</p>"   \
    "<p><a href=\"/\">Overview</a></p></main></body></html>\n"

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

void local_page(struct local_answer *a, const char *text)
{
    const char *title = a->reply.status == 404                             ? "Not found"
                        : a->reply.status == 403 || a->reply.status == 405 ? "Not allowed"
                        : a->reply.status == 413                           ? "Too large"
                        : a->reply.status < 500                            ? "Not understood"
                                                                           : "Not available";

    snprintf(a->text, sizeof a->text, ERROR_PAGE, title, title, text);
    a->reply.body = (struct text){a->text, strlen(a->text)};
    a->reply.headers[0].value = TYPE_HTML; /* Content-Type */
}

/* An error; a page where the path is one of a page and the client takes HTML. */
static void refuse(struct local_answer *a, const struct parsed *p, int status, const char *text)
{
    local_error(a, status, text);
    if (p->page && !accept_json(p->request.headers[HDR_ACCEPT]))
        local_page(a, text);
}

static void bad_method(struct local_answer *a, const struct parsed *p)
{
    refuse(a, p, 405, "Method Not Allowed");
    add_header(a, "Allow", p->allow);
}

/* A page for who asks for HTML by that name, outside the API. */
static void not_found(struct local_answer *a, const struct parsed *p)
{
    set(a, 404, TYPE_TEXT, NOT_FOUND);
    if (p->web && accept_quality(p->request.headers[HDR_ACCEPT], "text/html") > 0)
        local_page(a, "This server has no such page");
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
            not_found(a, p);
        return;
    }
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (verdicts[i].status == verdict)
            text = verdicts[i].text;
    if (verdict == 413 && p->route)
        text = route_too_large(p->route);
    refuse(a, p, verdict, text);
}

/* ---- the LOCAL rows of api.def ---- */

static void local_version(struct local_answer *a, const struct parsed *p)
{
    (void)p;
    set(a, 200, TYPE_TEXT, "Testflinger Server v" PROJECT_VERSION);
}

static void local_healthz(struct local_answer *a, const struct parsed *p)
{
    (void)p;
    set(a, 200, TYPE_JSON, "{\"status\": \"ok\"}");
}

static void local_openapi(struct local_answer *a, const struct parsed *p)
{
    (void)p;
    a->reply = (struct reply){.status = 200, .body = openapi_document()};
    a->is_static = true;
    add_header(a, "Content-Type", TYPE_JSON);
}

/* Compressed for who takes that. `cache`: the value of Cache-Control. */
static void set_file(struct local_answer *a, const struct parsed *p, const struct static_file *f,
                     const char *cache)
{
    bool packed = accept_gzip(p->request.headers[HDR_ACCEPT_ENCODING]);

    a->reply = (struct reply){.status = 200, .body = static_file_body(f, packed)};
    a->is_static = true;
    add_header(a, "Content-Type", static_file_type(f));
    add_header(a, "Cache-Control", cache);
    add_header(a, "Vary", "Accept-Encoding");
    if (packed)
        add_header(a, "Content-Encoding", "gzip");
}

/* A page of another release of the server asks for its own hash and gets what is here, once. */
static void local_static(struct local_answer *a, const struct parsed *p)
{
    bool current;
    const struct static_file *f = static_file_find(p->request.params[0], &current);

    if (f)
        set_file(a, p, f, current ? "public, max-age=31536000, immutable" : "no-cache");
    else
        not_found(a, p);
}

static void local_favicon(struct local_answer *a, const struct parsed *p)
{
    bool current;
    const char icon[] = "icon.svg";

    set_file(a, p, static_file_find((struct text){icon, sizeof icon - 1}, &current),
             "public, max-age=86400");
}

static void local_robots(struct local_answer *a, const struct parsed *p)
{
    (void)p;
    set(a, 200, TYPE_TEXT, "User-agent: *\nDisallow: /\n");
}

static void (*const handlers[OP_COUNT_])(struct local_answer *a, const struct parsed *p) = {
#define LOCAL(op, handler, ...) [op] = handler,
#include "common/api.def"
};

void local_reply(struct local_answer *a, const struct parsed *p)
{
    switch (p->kind) {
    case REQUEST_ROUTED:
        handlers[route_op(p->route)](a, p);
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
        not_found(a, p);
        break;
    case REQUEST_TOO_MANY:
        refuse(a, p, 400, "More query parameters than the server takes");
        break;
    }
}
