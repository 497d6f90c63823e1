#include "frontend/admit.h"

#include "common/api.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    CHUNK_LINE_MAX = 256, /* a chunk's size with its extensions */
    TRAILER_MAX = 16384
};

bool admit_limits_init(struct admit_limits *l, uint64_t memory_max)
{
    uint64_t nonce[2];

    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
        return false;
    *l = (struct admit_limits){.memory_max = memory_max};
    snprintf(l->verdict_header, sizeof l->verdict_header, "V-%016llx%016llx",
             (unsigned long long)nonce[0], (unsigned long long)nonce[1]);
    return true;
}

void admit_init(struct admit *a, struct admit_limits *limits)
{
    *a = (struct admit){.limits = limits, .raw = evbuffer_new()};
    if (!a->raw)
        abort();
}

void admit_done(struct admit *a)
{
    a->limits->memory_used -= a->reserved;
    a->reserved = 0;
    evbuffer_free(a->raw);
    if (a->head)
        evbuffer_free(a->head);
    if (a->body)
        evbuffer_free(a->body);
}

bool admit_is_idle(const struct admit *a)
{
    return (a->state == ADMIT_HEAD && evbuffer_get_length(a->raw) == 0) ||
           a->state == ADMIT_CLOSED;
}

static bool reserve(struct admit *a, uint64_t bytes)
{
    if (bytes > a->limits->memory_max || a->limits->memory_used > a->limits->memory_max - bytes)
        return false;
    a->limits->memory_used += bytes;
    a->reserved += bytes;
    return true;
}

void admit_release(struct admit *a, uint64_t body_len)
{
    uint64_t bytes = body_len < a->reserved ? body_len : a->reserved;

    a->limits->memory_used -= bytes;
    a->reserved -= bytes;
}

/* What a body of this request may have: bytes below the limit of its route. */
static uint64_t body_limit(const struct head *h)
{
    struct route_match m;
    struct span path = head_path(h->target);

    if (!route_match(path.s, path.len, &m))
        return BODY_IGNORED;
    for (int i = 0; i < HTTP_METHOD_COUNT_; i++)
        if (m.by_method[i] && h->method.len == strlen(http_method_name((enum http_method)i)) &&
            memcmp(h->method.s, http_method_name((enum http_method)i), h->method.len) == 0)
            return m.by_method[i]->body_limit ? m.by_method[i]->body_limit : BODY_IGNORED;
    return BODY_IGNORED;
}

/* Passes on a request that stands for the refused one. */
static void give_verdict(struct admit *a, const struct head *h, int verdict, struct evbuffer *out)
{
    bool keeps = h->target.len > 0 && h->target.len <= HEAD_LINE_MAX;
    /* An unknown method would be refused by the library itself; 405 does not need it. */
    bool known = verdict != 405 && h->method.len > 0 && h->method.len <= 7 && verdict != 400;

    evbuffer_add_printf(out, "%.*s %.*s HTTP/1.%c\r\n%s%s: %d\r\nContent-Length: 0\r\n\r\n",
                        known ? (int)h->method.len : 3, known ? h->method.s : "GET",
                        keeps ? (int)h->target.len : 1, keeps ? h->target.s : "/",
                        h->http_1_0 ? '0' : '1',
                        h->close ? "Connection: close\r\n" : h->http_1_0
                                       ? "Connection: keep-alive\r\n"
                                       : "",
                        a->limits->verdict_header, verdict);
    a->state = h->close ? ADMIT_CLOSED : ADMIT_HEAD;
}

/* Keeps the head until the body is through. */
static void keep_head(struct admit *a, const char *data, size_t len)
{
    if (!a->head)
        a->head = evbuffer_new();
    if (!a->head || evbuffer_add(a->head, data, len) != 0)
        abort();
}

static void refuse(struct admit *a, const struct head *h, int verdict, const char *data, size_t len,
                   struct evbuffer *out)
{
    struct head closing = *h;
    bool unknown_end = verdict == 400;

    if (h->chunked && !unknown_end && !h->expects_continue) {
        keep_head(a, data, len);
        a->chunk_verdict = true;
        a->verdict = verdict;
        a->left = 0;
        a->limit = ADMIT_DISCARD_MAX;
        a->state = ADMIT_CHUNK_SIZE;
    } else if (unknown_end || h->expects_continue || h->content_length > ADMIT_DISCARD_MAX) {
        closing.close = true;
        give_verdict(a, &closing, verdict, out);
    } else if (h->content_length) {
        keep_head(a, data, len);
        a->verdict = verdict;
        a->left = h->content_length;
        a->state = ADMIT_DISCARD;
    } else {
        give_verdict(a, h, verdict, out);
    }
}

/* The refused request's body is through. */
static void finish_refused(struct admit *a, struct evbuffer *out)
{
    size_t len = evbuffer_get_length(a->head);
    struct head h;

    head_parse((const char *)evbuffer_pullup(a->head, -1), len, &h);
    give_verdict(a, &h, a->verdict, out);
    evbuffer_drain(a->head, len);
    a->verdict = 0;
    a->chunk_verdict = false;
}

static void begin_chunked(struct admit *a, const struct head *h, const char *data, size_t len)
{
    keep_head(a, data, len);
    if (!a->body && !(a->body = evbuffer_new()))
        abort();
    a->limit = body_limit(h);
    a->wants_continue = h->expects_continue;
    a->state = ADMIT_CHUNK_SIZE;
}

/* Decides about a complete head of `len` bytes at the front of raw. */
static void decide(struct admit *a, size_t len, struct evbuffer *out)
{
    const char *data = (const char *)evbuffer_pullup(a->raw, (ev_ssize_t)len);
    struct head h;
    int verdict;

    head_parse(data, len, &h);
    verdict = h.refuse;
    if (!verdict && h.bodyless && (h.content_length || h.chunked))
        verdict = 400;
    if (!verdict && h.content_length >= body_limit(&h) && h.content_length)
        verdict = 413;
    if (!verdict && !reserve(a, h.chunked ? body_limit(&h) : h.content_length))
        verdict = 503;
    if (verdict) {
        refuse(a, &h, verdict, data, len, out);
        evbuffer_drain(a->raw, len);
    } else if (h.chunked) {
        begin_chunked(a, &h, data, len);
        evbuffer_drain(a->raw, len);
    } else {
        evbuffer_remove_buffer(a->raw, out, len);
        a->left = h.content_length;
        a->state = a->left ? ADMIT_BODY : ADMIT_HEAD;
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

static bool on_head(struct admit *a, struct evbuffer *out)
{
    skip_empty_lines(a->raw);
    size_t have = evbuffer_get_length(a->raw), len = head_length(a->raw);

    if (!len && have > HEAD_TOTAL_MAX) {
        struct head h = {.method = {"GET", 3}, .target = {"/", 1}, .close = true};
        give_verdict(a, &h, 431, out);
        return true;
    }
    if (len)
        decide(a, len, out);
    return len > 0;
}

/* A framing error within a chunked body: its end cannot be found. */
static void broken_chunks(struct admit *a, struct evbuffer *out)
{
    struct head h;

    head_parse((const char *)evbuffer_pullup(a->head, -1), evbuffer_get_length(a->head), &h);
    h.close = true;
    give_verdict(a, &h, 400, out);
}

/* chunk-size [ extensions ] CRLF (RFC 9112 7.1); false: malformed. */
static bool parse_chunk_size(const char *line, uint64_t *ret)
{
    char *end;

    if (!((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f') ||
          (*line >= 'A' && *line <= 'F')))
        return false;
    size_t digits = strspn(line, "0123456789abcdefABCDEF");
    if (digits > 15)
        return false;
    *ret = strtoull(line, &end, 16);
    end += strspn(end, " \t");
    return *end == '\0' || *end == ';';
}

static bool on_chunk_size(struct admit *a, struct evbuffer *out)
{
    char *line = evbuffer_readln(a->raw, NULL, EVBUFFER_EOL_CRLF);
    uint64_t size;

    if (!line) {
        if (evbuffer_get_length(a->raw) > CHUNK_LINE_MAX)
            broken_chunks(a, out);
        return a->state == ADMIT_CLOSED;
    }
    bool ok = parse_chunk_size(line, &size);
    free(line);
    uint64_t so_far = a->chunk_verdict ? a->left : evbuffer_get_length(a->body);
    if (!ok || size > ADMIT_DISCARD_MAX || so_far + size > ADMIT_DISCARD_MAX) {
        broken_chunks(a, out);
        return true;
    }
    if (!a->chunk_verdict && so_far + size >= a->limit) {
        admit_release(a, a->limit);
        evbuffer_drain(a->body, evbuffer_get_length(a->body));
        a->chunk_verdict = true;
        a->verdict = 413;
    }
    a->left = size;
    a->trailer = 0;
    a->state = size ? ADMIT_CHUNK_DATA : ADMIT_TRAILER;
    return true;
}

static bool on_chunk_data(struct admit *a)
{
    size_t have = evbuffer_get_length(a->raw);
    size_t n = have < a->left ? have : (size_t)a->left;

    if (a->chunk_verdict)
        evbuffer_drain(a->raw, n);
    else
        evbuffer_remove_buffer(a->raw, a->body, n);
    a->left -= n;
    if (a->left)
        return false;
    a->state = ADMIT_CHUNK_END;
    return true;
}

static bool on_chunk_end(struct admit *a, struct evbuffer *out)
{
    char *line = evbuffer_readln(a->raw, NULL, EVBUFFER_EOL_CRLF);

    if (!line) {
        if (evbuffer_get_length(a->raw) > 1)
            broken_chunks(a, out);
        return a->state == ADMIT_CLOSED;
    }
    bool empty = !*line;
    free(line);
    if (empty)
        a->state = ADMIT_CHUNK_SIZE;
    else
        broken_chunks(a, out);
    return true;
}

/* Passes on a complete chunked body with its length instead of the encoding. */
static void pass_collected(struct admit *a, struct evbuffer *out)
{
    size_t len = evbuffer_get_length(a->body);
    char *line;

    while ((line = evbuffer_readln(a->head, NULL, EVBUFFER_EOL_CRLF)) && *line) {
        if (strncasecmp(line, "Transfer-Encoding:", 18) != 0 &&
            strncasecmp(line, "Expect:", 7) != 0)
            evbuffer_add_printf(out, "%s\r\n", line);
        free(line);
    }
    free(line);
    evbuffer_drain(a->head, evbuffer_get_length(a->head));
    evbuffer_add_printf(out, "Content-Length: %zu\r\n\r\n", len);
    evbuffer_add_buffer(out, a->body);
    admit_release(a, a->limit - len);
    a->state = ADMIT_HEAD;
}

static bool on_trailer(struct admit *a, struct evbuffer *out)
{
    size_t len;
    char *line = evbuffer_readln(a->raw, &len, EVBUFFER_EOL_CRLF);

    if (!line && evbuffer_get_length(a->raw) <= TRAILER_MAX)
        return false;
    a->trailer += line ? len : TRAILER_MAX + 1;
    bool empty = line && !*line;
    free(line);
    if (a->trailer > TRAILER_MAX)
        broken_chunks(a, out);
    else if (empty && a->chunk_verdict)
        finish_refused(a, out);
    else if (empty)
        pass_collected(a, out);
    return true;
}

static bool on_body(struct admit *a, struct evbuffer *out)
{
    size_t have = evbuffer_get_length(a->raw);
    size_t n = have < a->left ? have : (size_t)a->left;

    evbuffer_remove_buffer(a->raw, out, n);
    a->left -= n;
    if (!a->left)
        a->state = ADMIT_HEAD;
    return !a->left;
}

static bool on_discard(struct admit *a, struct evbuffer *out)
{
    size_t have = evbuffer_get_length(a->raw);
    size_t n = have < a->left ? have : (size_t)a->left;

    evbuffer_drain(a->raw, n);
    a->left -= n;
    if (!a->left)
        finish_refused(a, out);
    return !a->left;
}

/* One step; false: more bytes are needed. */
static bool step(struct admit *a, struct evbuffer *out)
{
    switch (a->state) {
    case ADMIT_HEAD:
        return on_head(a, out);
    case ADMIT_BODY:
        return on_body(a, out);
    case ADMIT_DISCARD:
        return on_discard(a, out);
    case ADMIT_CHUNK_SIZE:
        return on_chunk_size(a, out);
    case ADMIT_CHUNK_DATA:
        return on_chunk_data(a);
    case ADMIT_CHUNK_END:
        return on_chunk_end(a, out);
    case ADMIT_TRAILER:
        return on_trailer(a, out);
    case ADMIT_CLOSED:
        evbuffer_drain(a->raw, evbuffer_get_length(a->raw));
        return false;
    }
    return false;
}

void admit_feed(struct admit *a, struct evbuffer *in, struct evbuffer *out)
{
    evbuffer_add_buffer(a->raw, in);
    while (step(a, out) && (evbuffer_get_length(a->raw) > 0 || a->state != ADMIT_HEAD))
        ;
}
