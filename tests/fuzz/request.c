/* Fuzz target: a head and what the frontend derives from it: the head for the HTTP library, the
 * route with its decoded parts, the range of a file.
 *
 * Input: a head without its last CRLF. */
#include "frontend/request.h"
#include "frontend/head.h"
#include "frontend/line.h"
#include "frontend/range.h"

#include "common/utf8.h"
#include "tests/fuzz/require.h"

#include <event2/http_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LENGTH = 1000 /* bytes of the file */ };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(struct text s)
{
    char *text = malloc(s.len + 1); /* so that AddressSanitizer finds reads beyond its end */

    require(text);
    memcpy(text, s.s, s.len);
    text[s.len] = '\0';
    return text;
}

/* The library's head must mean the same as the client's. */
static void check_written(const struct head *h)
{
    char *target = text_of(h->target);
    struct evbuffer *out = evbuffer_new();
    struct head_canonical c = {head_method(h), target,    h->http_1_0,
                               h->close,       h->fields, h->fields_len};
    static struct head again; /* large */

    require(out);
    head_write(&c, out);
    size_t len = evbuffer_get_length(out);
    head_parse((const char *)evbuffer_pullup(out, -1), len, &again);
    require(!again.refuse);
    require(text_equal(again.method, h->method) && text_equal(again.target, h->target));
    require(again.http_1_0 == h->http_1_0 && again.close == h->close);
    require(!again.chunked && !again.has_length && !again.expects_continue);
    require(again.fields_len == h->fields_len);
    for (size_t i = 0; i < h->fields_len; i++)
        require(text_equal(again.fields[i].name, h->fields[i].name) &&
                text_equal(again.fields[i].value, h->fields[i].value));
    evbuffer_free(out);
    free(target);
}

static void check_utf8(struct text t)
{
    for (size_t i = 0, n; i < t.len; i += n) {
        n = utf8_sequence(t.s + i, t.len - i);
        require(n > 0);
    }
}

static void check_parts(const struct head *h)
{
    static const struct {
        const char *name;
        enum evhttp_cmd_type type;
    } methods[] = {
        {"GET", EVHTTP_REQ_GET},     {"HEAD", EVHTTP_REQ_HEAD},     {"POST", EVHTTP_REQ_POST},
        {"PUT", EVHTTP_REQ_PUT},     {"DELETE", EVHTTP_REQ_DELETE}, {"OPTIONS", EVHTTP_REQ_OPTIONS},
        {"TRACE", EVHTTP_REQ_TRACE}, {"PATCH", EVHTTP_REQ_PATCH},
    };
    static struct evhttp_request *req;
    static struct parsed p; /* large */
    char *target = text_of(h->target);

    if (!req)
        req = evhttp_request_new(NULL, NULL);
    require(req);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, head_method(h)) == 0)
            req->type = methods[i].type;
    request_parse(req, (struct text){target, h->target.len}, true, &p);
    require((p.kind == REQUEST_ROUTED || p.kind == REQUEST_TOO_MANY) == (p.route != NULL));
    require((p.kind == REQUEST_REDIRECT) == (p.location != NULL));
    require(!p.location || (strlen(p.location) < h->target.len));
    if (p.route) {
        require(p.request.query_len <= QUERY_MAX);
        for (size_t i = 0; i < p.request.params_len; i++)
            check_utf8(p.request.params[i]);
        for (size_t i = 0; i < p.request.query_len; i++) {
            check_utf8(p.request.query[i].name);
            check_utf8(p.request.query[i].value);
        }
    }
    request_parsed_free(&p);
    free(target);
}

/* The value of a header; NULL: not sent. */
static char *value_of(const struct head *h, const char *name)
{
    for (size_t i = 0; i < h->fields_len; i++)
        if (h->fields[i].name.len == strlen(name) &&
            strncasecmp(h->fields[i].name.s, name, strlen(name)) == 0)
            return text_of(h->fields[i].value);
    return NULL;
}

static void check_range(const struct head *h, int64_t length)
{
    char *range = value_of(h, "Range"), *if_range = value_of(h, "If-Range"),
         *if_none = value_of(h, "If-None-Match");
    const struct range_request asked = {range, if_range, if_none};
    struct range r = range_decide(&asked, length, "\"abc\"", "Thu, 01 Jan 1970 00:00:00 GMT");

    require(r.status == 200 || r.status == 206 || r.status == 304 || r.status == 416);
    require(r.status != 200 || (r.first == 0 && r.end == length));
    require(r.status != 206 || (range && r.first >= 0 && r.first < r.end && r.end <= length));
    require(r.status != 416 || range);
    require(r.status != 304 || if_none);
    free(range);
    free(if_range);
    free(if_none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct head h; /* large */
    char *text = malloc(size + 2);
    size_t at = 0;

    require(text);
    memcpy(text, data, size);
    memcpy(text + size, "\r\n", 2);
    /* As in the intake, only lines that line_scan accepts get here. */
    for (size_t end = 0; at < size + 2; at += end, end = 0)
        if (line_scan(text + at, size + 2 - at, &end) != LINE_DONE)
            break;
    if (at == size + 2) {
        head_parse(text, size + 2, &h);
        require(h.refuse == 0 || h.refuse == 400 || h.refuse == 405 || h.refuse == 431 ||
                h.refuse == 505);
        if (!h.refuse) {
            check_written(&h);
            check_parts(&h);
            check_range(&h, LENGTH);
            check_range(&h, 0);
        }
    }
    free(text);
    return 0;
}
