#include "frontend/intake.h"

#include "common/api.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    CHUNK_LINE_MAX = 256, /* a chunk's size with its extensions */
    TRAILER_MAX = 16384
};

static struct evbuffer *buffer_new(void)
{
    struct evbuffer *b = evbuffer_new();

    if (!b)
        abort(); /* out of memory, as in mem.c */
    return b;
}

void intake_init(struct intake *in, struct body_limits *limits)
{
    *in = (struct intake){
        .limits = limits,
        .raw = buffer_new(),
        .head = buffer_new(),
        .body = {.limits = limits, .fd = -1}
    };
    in->end = &in->first;
}

void intake_done(struct intake *in)
{
    struct intake_item *item;

    while ((item = intake_next(in)))
        intake_item_free(item);
    body_free(&in->body);
    evbuffer_free(in->raw);
    evbuffer_free(in->head);
}

bool intake_is_idle(const struct intake *in)
{
    return (in->state == INTAKE_HEAD && evbuffer_get_length(in->raw) == 0) ||
           in->state == INTAKE_CLOSED;
}

struct intake_item *intake_next(struct intake *in)
{
    struct intake_item *item = in->first;

    if (!item)
        return NULL;
    in->first = item->next;
    if (!in->first)
        in->end = &in->first;
    return item;
}

void intake_item_free(struct intake_item *item)
{
    if (item)
        body_free(&item->body);
    free(item);
}

/* Notes the item of the head that is passed on now. */
static void add_item(struct intake *in, int verdict)
{
    struct intake_item *item = mem_alloc(sizeof *item);

    *item = (struct intake_item){.verdict = verdict, .body = in->body};
    in->body = (struct body){.limits = in->limits, .fd = -1};
    *in->end = item;
    in->end = &item->next;
}

/* The route that a head means; NULL: none. */
static const struct route *route_of(const struct head *h)
{
    struct route_match m;
    struct span path = head_path(h->target);

    if (!route_match(path.s, path.len, &m))
        return NULL;
    for (int i = 0; i < HTTP_METHOD_COUNT_; i++) {
        const char *name = http_method_name((enum http_method)i);
        if (m.by_method[i] && h->method.len == strlen(name) &&
            memcmp(h->method.s, name, h->method.len) == 0)
            return m.by_method[i];
    }
    return NULL;
}

/* The body of this route must stay below so many bytes. */
static uint64_t body_limit(const struct intake *in, const struct route *r)
{
    if (r && r->flags & ROUTE_UPLOAD)
        return in->limits->upload_max + 1;
    return r && r->body_limit ? r->body_limit : BODY_IGNORED;
}

/* Passes on a small head that stands for one that is refused. */
static void pass_verdict(struct intake *in, const struct head *h, int verdict, struct evbuffer *out)
{
    bool keeps = h->target.len > 0 && h->target.len <= HEAD_LINE_MAX;
    /* An unknown method would be refused by the library itself; 405 does not need it. */
    bool known = verdict != 405 && verdict != 400 && h->method.len > 0 && h->method.len <= 7;
    const char *connection = h->close      ? "Connection: close\r\n"
                             : h->http_1_0 ? "Connection: keep-alive\r\n"
                                           : "";

    evbuffer_add_printf(out, "%.*s %.*s HTTP/1.%c\r\n%s\r\n", known ? (int)h->method.len : 3,
                        known ? h->method.s : "GET", keeps ? (int)h->target.len : 1,
                        keeps ? h->target.s : "/", h->http_1_0 ? '0' : '1', connection);
    body_free(&in->body);
    add_item(in, verdict);
    in->state = h->close ? INTAKE_CLOSED : INTAKE_HEAD;
}

/* Headers that speak of the body, which the library does not see. */
static bool about_body(const char *line, size_t len)
{
    static const char *const names[] = {"Content-Length:", "Transfer-Encoding:", "Expect:"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (len >= strlen(names[i]) && strncasecmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Appends a head without the lines that speak of its body. */
static void pass_stripped(const char *data, size_t len, struct evbuffer *out)
{
    const char *keep = data, *end = data + len;

    for (const char *line = data; line < end;) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        const char *next = lf ? lf + 1 : end;
        if (about_body(line, (size_t)(next - line))) {
            evbuffer_add(out, keep, (size_t)(line - keep));
            keep = next;
        }
        line = next;
    }
    evbuffer_add(out, keep, (size_t)(end - keep));
}

/* The body of the kept head is through: passes the head on, or what stands for it. */
static void finish(struct intake *in, struct evbuffer *out)
{
    size_t len = evbuffer_get_length(in->head);
    const char *data = (const char *)evbuffer_pullup(in->head, -1);
    struct head h;

    if (in->verdict) {
        head_parse(data, len, &h);
        pass_verdict(in, &h, in->verdict, out);
    } else {
        pass_stripped(data, len, out);
        add_item(in, 0);
        in->state = INTAKE_HEAD;
    }
    evbuffer_drain(in->head, len);
    in->verdict = 0;
}

/* The end of the kept head's body cannot be found, or is not waited for. */
static void give_up(struct intake *in, int verdict, struct evbuffer *out)
{
    struct head h;

    head_parse((const char *)evbuffer_pullup(in->head, -1), evbuffer_get_length(in->head), &h);
    h.close = true;
    pass_verdict(in, &h, verdict, out);
    evbuffer_drain(in->head, evbuffer_get_length(in->head));
    in->verdict = 0;
}

/* From now on the body is dropped. */
static void condemn(struct intake *in, int verdict)
{
    body_free(&in->body);
    in->verdict = verdict;
}

/* Takes n bytes of the body from raw. */
static void take(struct intake *in, uint64_t n)
{
    in->seen += n;
    if (in->verdict)
        evbuffer_drain(in->raw, n);
    else if (body_take(&in->body, in->raw, n))
        condemn(in, in->body.fd >= 0 ? 507 : 503);
}

/* Starts to read the body of a head that is in order. */
static void begin_body(struct intake *in, const struct head *h, const struct route *r,
                       struct evbuffer *out)
{
    bool spools = r && r->flags & ROUTE_UPLOAD;

    in->left = h->chunked ? 0 : h->content_length;
    in->seen = in->trailer = 0;
    in->state = h->chunked ? INTAKE_CHUNK_SIZE : INTAKE_BODY;
    if (in->left >= in->limit)
        condemn(in, 413);
    else if (body_begin(&in->body, in->limits, spools))
        condemn(in, 507);
    if (in->verdict && (h->expects_continue || in->left > INTAKE_DISCARD_MAX))
        give_up(in, in->verdict, out);
    else
        in->wants_continue |= h->expects_continue;
}

/* Decides about a complete head of `len` bytes at the front of raw. */
static void decide(struct intake *in, size_t len, struct evbuffer *out)
{
    const char *data = (const char *)evbuffer_pullup(in->raw, (ev_ssize_t)len);
    struct head h;

    head_parse(data, len, &h);
    if (h.refuse == 400)
        h.close = true;
    if (h.refuse && (h.close || !(h.content_length || h.chunked))) {
        pass_verdict(in, &h, h.refuse, out);
        evbuffer_drain(in->raw, len);
    } else if (h.content_length || h.chunked) {
        const struct route *r = route_of(&h);
        evbuffer_remove_buffer(in->raw, in->head, len);
        in->verdict = h.refuse;
        in->limit = body_limit(in, r);
        begin_body(in, &h, r, out);
    } else if (h.has_length || h.expects_continue) {
        pass_stripped(data, len, out);
        evbuffer_drain(in->raw, len);
        add_item(in, 0);
    } else {
        evbuffer_remove_buffer(in->raw, out, len);
        add_item(in, 0);
    }
}

/* Length of the head at the front of raw, or 0 when its end has not come. */
static size_t head_length(struct evbuffer *raw)
{
    static const char *const ends[] = {"\r\n\r\n", "\n\n", "\n\r\n"};
    size_t best = 0;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct evbuffer_ptr p = evbuffer_search(raw, ends[i], strlen(ends[i]), NULL);
        if (p.pos >= 0 && (!best || (size_t)p.pos + strlen(ends[i]) < best))
            best = (size_t)p.pos + strlen(ends[i]);
        if (i == 0 && best)
            break; /* the usual end; a bare one before it is found by the parser's lines */
    }
    return best;
}

/* Empty lines before a request are skipped (RFC 9112 2.2). */
static void skip_empty_lines(struct evbuffer *raw)
{
    char c;

    while (evbuffer_copyout(raw, &c, 1) == 1 && (c == '\r' || c == '\n'))
        evbuffer_drain(raw, 1);
}

static bool on_head(struct intake *in, struct evbuffer *out)
{
    skip_empty_lines(in->raw);
    size_t have = evbuffer_get_length(in->raw), len = have ? head_length(in->raw) : 0;

    if (!len && have > HEAD_TOTAL_MAX) {
        struct head h = {
            .method = {"GET", 3},
              .target = {"/",   1},
              .close = true
        };
        pass_verdict(in, &h, 431, out);
        return true;
    }
    if (len)
        decide(in, len, out);
    return len > 0;
}

/* Takes what has come of the `left` bytes; true: all. */
static bool take_left(struct intake *in)
{
    size_t have = evbuffer_get_length(in->raw);
    uint64_t n = have < in->left ? have : in->left;

    take(in, n);
    in->left -= n;
    return in->left == 0;
}

static bool on_body(struct intake *in, struct evbuffer *out)
{
    if (!take_left(in))
        return false;
    finish(in, out);
    return true;
}

/* chunk-size [ extensions ] CRLF (RFC 9112 7.1); false: malformed. */
static bool parse_chunk_size(const char *line, uint64_t *ret)
{
    size_t digits = strspn(line, "0123456789abcdefABCDEF");
    char *end;

    if (digits == 0 || digits > 15)
        return false;
    *ret = strtoull(line, &end, 16);
    end += strspn(end, " \t");
    return *end == '\0' || *end == ';';
}

/* The next line of raw without its end, NULL when it has not come or is longer than max (then the
 * request is given up). The caller frees it. */
static char *next_line(struct intake *in, size_t max, struct evbuffer *out)
{
    char *line = evbuffer_readln(in->raw, NULL, EVBUFFER_EOL_CRLF);

    if (!line && evbuffer_get_length(in->raw) > max)
        give_up(in, 400, out);
    return line;
}

static bool on_chunk_size(struct intake *in, struct evbuffer *out)
{
    char *line = next_line(in, CHUNK_LINE_MAX, out);
    uint64_t size;

    if (!line)
        return in->state == INTAKE_CLOSED;
    bool ok = parse_chunk_size(line, &size);
    free(line);
    if (!ok) {
        give_up(in, 400, out);
        return true;
    }
    if (!in->verdict && in->seen + size >= in->limit)
        condemn(in, 413);
    if (in->verdict && in->seen + size > INTAKE_DISCARD_MAX) {
        give_up(in, in->verdict, out);
        return true;
    }
    in->left = size;
    in->state = size ? INTAKE_CHUNK_DATA : INTAKE_TRAILER;
    return true;
}

static bool on_chunk_data(struct intake *in)
{
    if (!take_left(in))
        return false;
    in->state = INTAKE_CHUNK_END;
    return true;
}

static bool on_chunk_end(struct intake *in, struct evbuffer *out)
{
    char *line = next_line(in, 1, out);

    if (!line)
        return in->state == INTAKE_CLOSED;
    bool empty = !*line;
    free(line);
    if (empty)
        in->state = INTAKE_CHUNK_SIZE;
    else
        give_up(in, 400, out);
    return true;
}

static bool on_trailer(struct intake *in, struct evbuffer *out)
{
    char *line = next_line(in, TRAILER_MAX, out);

    if (!line)
        return in->state == INTAKE_CLOSED;
    in->trailer += strlen(line) + 2;
    bool empty = !*line;
    free(line);
    if (in->trailer > TRAILER_MAX)
        give_up(in, 400, out);
    else if (empty)
        finish(in, out);
    return true;
}

/* One step; false: more bytes are needed. */
static bool step(struct intake *in, struct evbuffer *out)
{
    switch (in->state) {
    case INTAKE_HEAD:
        return on_head(in, out);
    case INTAKE_BODY:
        return on_body(in, out);
    case INTAKE_CHUNK_SIZE:
        return on_chunk_size(in, out);
    case INTAKE_CHUNK_DATA:
        return on_chunk_data(in);
    case INTAKE_CHUNK_END:
        return on_chunk_end(in, out);
    case INTAKE_TRAILER:
        return on_trailer(in, out);
    case INTAKE_CLOSED:
        evbuffer_drain(in->raw, evbuffer_get_length(in->raw));
        return false;
    }
    return false;
}

void intake_feed(struct intake *in, struct evbuffer *from, struct evbuffer *out)
{
    evbuffer_add_buffer(in->raw, from);
    while (step(in, out) && (evbuffer_get_length(in->raw) > 0 || in->state != INTAKE_HEAD))
        ;
}
