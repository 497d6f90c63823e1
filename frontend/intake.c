#include "frontend/intake.h"

#include "common/api.h"
#include "common/mem.h"
#include "frontend/line.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REQUEST_ID     "X-Request-Id"
#define REQUEST_ID_MAX 128 /* bytes of one that an answer repeats */

enum {
    RAW_FREE = 4096,     /* bytes that wait and do not count in the budget */
    BLANK_LINES_MAX = 8, /* before a head */
    SMALL = 4096,        /* bytes that are copied together: one read, for which a chain has 8 KiB */
    FIRST_LOOK = 4096    /* bytes of a head that are made one piece at first */
};

static struct evbuffer *buffer_new(void)
{
    struct evbuffer *b = evbuffer_new();

    mem_check(b);
    return b;
}

void intake_init(struct intake *in, struct body_limits *limits)
{
    const struct address_key nobody = {{0}};

    *in = (struct intake){.limits = limits, .raw = buffer_new(), .head = buffer_new()};
    body_begin(&in->body, false);
    in->tenant = budget_join(&limits->budget, &nobody);
}

void intake_set_tenant(struct intake *in, struct tenant *t)
{
    budget_leave(in->tenant);
    in->tenant = t;
}

void intake_done(struct intake *in)
{
    intake_item_free(in->item);
    body_free(&in->body);
    budget_give(&in->waits, 0);
    budget_leave(in->tenant);
    evbuffer_free(in->raw);
    evbuffer_free(in->head);
}

void intake_item_free(struct intake_item *item)
{
    if (item)
        body_free(&item->body);
    free(item);
}

size_t intake_waiting(const struct intake *in)
{
    return evbuffer_get_length(in->raw);
}

bool intake_is_busy(const struct intake *in)
{
    return in->state == INTAKE_BUSY || in->state == INTAKE_LAST || in->state == INTAKE_ASKED;
}

bool intake_unread(const struct intake *in)
{
    return in->unread || in->dropping;
}

bool intake_is_idle(const struct intake *in)
{
    return in->state == INTAKE_HEAD && !intake_waiting(in);
}

struct intake_item *intake_claim(struct intake *in, const char *target)
{
    struct intake_item *item = in->item;

    if (!item || !intake_is_busy(in) || strcmp(target, item->number) != 0)
        return NULL;
    in->item = NULL;
    return item;
}

/* ---- items ---- */

/* Writes "/N"; snprintf would take a noticeable share of a small request's time. */
static void print_number(uint64_t n, char out[24])
{
    char digits[20];
    size_t len = 0;

    do
        digits[len++] = (char)('0' + n % 10);
    while (n /= 10);
    *out++ = '/';
    while (len)
        *out++ = digits[--len];
    *out = '\0';
}

/* The client's id of its request; empty: none, or not fit to be sent back. */
static struct text request_id(const struct head *h)
{
    for (size_t i = 0; i < h->fields_len; i++) {
        struct text name = h->fields[i].name, value = h->fields[i].value;
        if (name.len == strlen(REQUEST_ID) && strncasecmp(name.s, REQUEST_ID, name.len) == 0)
            return value.len <= REQUEST_ID_MAX ? value : (struct text){"", 0};
    }
    return (struct text){"", 0};
}

static void item_new(struct intake *in, const struct head *h)
{
    struct text target = h->target, id = request_id(h);
    struct intake_item *item = mem_alloc(sizeof *item + target.len + 1 + id.len + 1);
    char *own_id = item->target + target.len + 1;

    *item = (struct intake_item){.target_len = target.len, .request_id = own_id};
    body_begin(&item->body, false);
    print_number(++in->numbers, item->number);
    memcpy(item->target, target.s, target.len);
    item->target[target.len] = '\0';
    memcpy(own_id, id.s, id.len);
    own_id[id.len] = '\0';
    in->item = item;
}

static void passed(struct intake *in)
{
    in->state = in->close ? INTAKE_LAST : INTAKE_BUSY;
}

/* Passes on a substitute for the head of a refused item. */
static void pass_verdict(struct intake *in, int verdict, struct evbuffer *out)
{
    const char *id = in->item->request_id;
    const struct head_field field = {{REQUEST_ID, strlen(REQUEST_ID)}, {id, strlen(id)}};
    struct head_canonical h = {.method = verdict == 400 ? "GET" : in->method,
                               .target = in->item->number,
                               .http_1_0 = in->http_1_0,
                               .close = in->close,
                               .fields = &field,
                               .fields_len = *id != '\0'};

    in->item->verdict = verdict;
    head_write(&h, out);
    passed(in);
}

/* Ends the item whose body went behind its head: it is complete, or dropped. */
static void complete(struct intake *in)
{
    in->ahead = false;
    in->complete = !in->dropping;
    in->over = in->dropping && in->close;
    if (in->close)
        in->state = INTAKE_LAST;
    else
        in->state = in->dropping && in->written ? INTAKE_HEAD : INTAKE_BUSY;
    in->dropping = false;
}

/* The end of the request is unknown or too far away: close the connection after the answer. */
static void give_up(struct intake *in, int verdict, struct evbuffer *out)
{
    in->close = in->unread = true;
    body_free(&in->body);
    evbuffer_drain(in->head, evbuffer_get_length(in->head));
    if (in->ahead) {
        in->verdict = verdict;
        complete(in);
    } else {
        pass_verdict(in, verdict, out);
    }
}

/* The body is complete: passes on the head, or its substitute. */
static void finish(struct intake *in, struct evbuffer *out)
{
    if (in->ahead) {
        complete(in);
    } else if (in->verdict) {
        evbuffer_drain(in->head, evbuffer_get_length(in->head));
        pass_verdict(in, in->verdict, out);
    } else {
        evbuffer_add_buffer(out, in->head);
        in->item->body = in->body;
        body_begin(&in->body, false);
        passed(in);
    }
}

/* Passes on the head ahead of its body. */
static void go_ahead(struct intake *in, bool ask, struct evbuffer *out)
{
    evbuffer_add_buffer(out, in->head);
    in->item->coming = in->ahead = true;
    in->item->ask = in->asked = ask;
    in->state = INTAKE_ASKED;
}

/* ---- bodies ---- */

/* The route of a head; NULL: none. */
static const struct route *route_asked(const struct head *h)
{
    struct route_match m;
    struct text path = head_path(h->target);

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

/* The body of this route must have fewer bytes than this. */
static uint64_t body_limit(const struct intake *in, const struct route *r)
{
    if (r && route_flags(r) & ROUTE_UPLOAD)
        return in->limits->upload_max + 1;
    return r && route_body_limit(r) ? route_body_limit(r) : BODY_IGNORED;
}

/* Drops the body from here on. Keeps the first reason for the answer. */
static void condemn(struct intake *in, int verdict)
{
    body_free(&in->body);
    if (!in->verdict)
        in->verdict = verdict;
}

/* Takes what has come of the *left bytes; true: all of them. */
static bool take_left(struct intake *in, uint64_t *left)
{
    size_t have = intake_waiting(in);
    uint64_t n = have < *left ? have : *left;

    in->seen += n;
    *left -= n;
    if (in->verdict) {
        evbuffer_drain(in->raw, n);
    } else {
        enum err e = body_take(&in->body, in->tenant, in->raw, n);
        if (e)
            condemn(in, err_status(e));
    }
    return *left == 0;
}

/* Whether a refused body with this many further bytes is too large to be read to its end. */
static bool too_much(const struct intake *in, uint64_t more)
{
    return in->verdict && in->seen + more > in->drop_max;
}

/* Starts to read the body of the current head. */
static void begin_body(struct intake *in, const struct head *h, struct evbuffer *out)
{
    const struct route *r = route_asked(h);
    bool upload = r && route_flags(r) & ROUTE_UPLOAD;

    in->limit = body_limit(in, r);
    in->left = h->chunked ? 0 : h->content_length;
    in->chunked = (struct chunked){0};
    in->seen = 0;
    in->drop_max = INTAKE_DISCARD_MAX;
    in->is_chunked = h->chunked;
    in->expects_continue = h->expects_continue;
    in->large_ok = r && route_body_limit(r) > BODY_UNASKED;
    in->state = h->chunked ? INTAKE_CHUNKS : INTAKE_BODY;
    body_begin(&in->body, false);
    if (in->left >= in->limit)
        condemn(in, 413);
    bool large = upload || in->left > BODY_UNASKED || (h->chunked && in->large_ok);
    if (in->verdict && (h->expects_continue || too_much(in, in->left)))
        give_up(in, in->verdict, out);
    else if (!in->verdict && (upload || in->left > BODY_UNASKED || h->expects_continue))
        go_ahead(in, large, out);
}

static bool on_body(struct intake *in, struct evbuffer *out)
{
    if (take_left(in, &in->left))
        finish(in, out);
    else if (too_much(in, in->left))
        give_up(in, in->verdict, out);
    else
        return false;
    return true;
}

/* Starts a chunk of chunked.left bytes. */
static void on_chunk(struct intake *in, struct evbuffer *out)
{
    if (in->seen + in->chunked.left >= in->limit)
        condemn(in, 413);
    if (too_much(in, in->chunked.left))
        give_up(in, in->verdict, out);
    else if (!in->verdict && !in->ahead && in->large_ok &&
             in->seen + in->chunked.left > BODY_UNASKED)
        go_ahead(in, true, out);
}

static bool on_chunks(struct intake *in, struct evbuffer *out)
{
    if (in->chunked.left)
        return take_left(in, &in->chunked.left);
    switch (chunked_next(&in->chunked, in->raw)) {
    case CHUNKED_MORE:
        return false;
    case CHUNKED_LINE:
        break;
    case CHUNKED_BEGIN:
        on_chunk(in, out);
        break;
    case CHUNKED_DONE:
        finish(in, out);
        break;
    case CHUNKED_BAD:
        give_up(in, 400, out);
        break;
    }
    return true;
}

void intake_let(struct intake *in)
{
    if (in->state != INTAKE_ASKED)
        return;
    in->state = in->is_chunked ? INTAKE_CHUNKS : INTAKE_BODY;
    in->body.spools = in->asked;
    in->wants_continue = in->expects_continue;
}

bool intake_refuse(struct intake *in, bool all)
{
    if (in->state != INTAKE_ASKED)
        return !in->close;
    condemn(in, 400);
    if (all)
        in->drop_max = UINT64_MAX;
    if (in->close || in->expects_continue || too_much(in, in->left)) {
        in->close = in->unread = true;
        in->ahead = false;
        in->state = INTAKE_LAST;
        evbuffer_drain(in->raw, intake_waiting(in));
        return false;
    }
    in->dropping = true;
    in->state = in->is_chunked ? INTAKE_CHUNKS : INTAKE_BODY;
    return true;
}

int intake_body(struct intake *in, struct body *ret)
{
    in->complete = false;
    *ret = in->body;
    body_begin(&in->body, false);
    return in->verdict;
}

/* ---- heads ---- */

/* Decides on the complete head at the front of raw. */
static void decide(struct intake *in, const char *data, size_t len, struct evbuffer *out)
{
    struct head h;

    head_parse(data, len, &h);
    bool has_body = h.content_length || h.chunked;
    item_new(in, &h);
    in->verdict = 0;
    in->ahead = in->dropping = in->written = false;
    in->method = head_method(&h);
    in->http_1_0 = h.http_1_0;
    in->close = h.close;
    struct head_canonical own = {in->method, in->item->number, h.http_1_0,
                                 h.close,    h.fields,         h.fields_len};
    if (h.refuse && (h.close || !has_body)) {
        pass_verdict(in, h.refuse, out);
    } else if (has_body) {
        in->verdict = h.refuse;
        head_write(&own, in->head);
        begin_body(in, &h, out);
    } else {
        head_write(&own, out);
        passed(in);
    }
    evbuffer_drain(in->raw, len);
    in->scan.scanned = in->scan.line = in->scan.blank = 0;
}

/* Refuses the front of raw: not a head, or too large. */
static void refuse(struct intake *in, int status, struct evbuffer *out)
{
    const struct head none = {.target = {"", 0}};

    item_new(in, &none);
    in->method = "GET";
    in->http_1_0 = false;
    give_up(in, status, out);
}

/* Looks for the empty line that ends the head, in the first n bytes of raw. LINE_DONE: scan.scanned
 * is behind it. */
static enum line_result scan_lines(struct intake *in, const char *data, size_t n)
{
    enum line_result r;

    while ((r = line_scan(data, n, &in->scan.scanned)) == LINE_DONE) {
        if (in->scan.scanned - in->scan.line == 2)
            return LINE_DONE;
        in->scan.line = in->scan.scanned;
    }
    return r;
}

/* Looks for the end of the head at the front of raw, from where the last look ended. Pulls up no
 * more of raw than it must. */
static enum line_result scan_head(struct intake *in, const char **data)
{
    size_t have = intake_waiting(in), most = have < HEAD_TOTAL_MAX ? have : HEAD_TOTAL_MAX;
    size_t n = evbuffer_get_contiguous_space(in->raw);

    for (;; n = n < FIRST_LOOK ? FIRST_LOOK : 2 * n) {
        n = n < most ? n : most;
        *data = (const char *)evbuffer_pullup(in->raw, (ev_ssize_t)n);
        enum line_result r = scan_lines(in, *data, n);
        if (r != LINE_MORE || n == most)
            return r;
    }
}

static bool on_head(struct intake *in, struct evbuffer *out)
{
    const char *data;

    if (!intake_waiting(in))
        return false;
    switch (scan_head(in, &data)) {
    case LINE_MORE:
        if (intake_waiting(in) < HEAD_TOTAL_MAX)
            return false;
        refuse(in, 431, out);
        break;
    case LINE_BAD:
        refuse(in, 400, out);
        break;
    case LINE_DONE:
        if (in->scan.line > 0) {
            decide(in, data, in->scan.scanned, out);
        } else if (++in->scan.blank > BLANK_LINES_MAX) {
            refuse(in, 400, out);
        } else { /* an empty line before a request is skipped (RFC 9112 2.2) */
            evbuffer_drain(in->raw, in->scan.scanned);
            in->scan.scanned = 0;
        }
        break;
    }
    return true;
}

/* ---- the flow ---- */

void intake_take(struct intake *in, struct evbuffer *from, size_t n)
{
    char small[SMALL];

    if (in->state == INTAKE_LAST) {
        evbuffer_drain(from, n);
    } else if (n > sizeof small || !intake_waiting(in)) {
        evbuffer_remove_buffer(from, in->raw, n);
    } else {
        evbuffer_remove(from, small, n);
        mem_check(evbuffer_add(in->raw, small, n) == 0);
    }
}

/* Takes one step; false: it needs more bytes. */
static bool step(struct intake *in, struct evbuffer *out)
{
    switch (in->state) {
    case INTAKE_HEAD:
        return on_head(in, out);
    case INTAKE_BODY:
        return on_body(in, out);
    case INTAKE_CHUNKS:
        return on_chunks(in, out);
    case INTAKE_ASKED:
    case INTAKE_BUSY:
    case INTAKE_LAST:
        break;
    }
    return false;
}

/* Charges waiting bytes to the budget; false: no room. Bytes behind a request are few and always
 * admitted. */
static bool count_waiting(struct intake *in)
{
    size_t len = intake_waiting(in);
    uint64_t size = len <= RAW_FREE ? 0 : (len + RAW_FREE - 1) / RAW_FREE * RAW_FREE;
    struct budget_share *s = &in->waits;

    if (size <= s->bytes)
        budget_give(s, size);
    else if (in->state == INTAKE_HEAD)
        return budget_take(s, in->tenant, size - s->bytes);
    else
        budget_force(s, in->tenant, size - s->bytes);
    return true;
}

bool intake_advance(struct intake *in, struct evbuffer *out)
{
    if (intake_is_busy(in)) {
        count_waiting(in);
        return false;
    }
    while (!intake_is_busy(in) && step(in, out))
        ;
    if (!count_waiting(in))
        refuse(in, 503, out);
    if (in->state == INTAKE_LAST) {
        evbuffer_drain(in->raw, intake_waiting(in));
        count_waiting(in);
    }
    return intake_is_busy(in);
}

void intake_answered(struct intake *in)
{
    intake_item_free(in->item); /* unless the server has taken it */
    in->item = NULL;
    in->written = true;
    if (in->state == INTAKE_BUSY)
        in->state = INTAKE_HEAD;
}
