/* A job's log as plain text, or as lines of JSON. */
#include "common/log.h"
#include "common/accept.h"
#include "worker/http/etag.h"
#include "worker/http/query.h"
#include "worker/validation/job_id.h"
#include "worker/web/log_part.h"
#include "worker/web/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_web_log_output, h_web_log_serial, h_log_part;

#define NUMBER_DIGITS 18
#define TYPE_LINES    "application/x-ndjson"

/* A request for a log. */
struct reading {
    struct log_place at;
    int64_t tail; /* bytes of its end that are wanted; -1: all of it */
    int64_t want; /* those and the one before, which says whether they begin with a line */
    int64_t last; /* number of the last fragment; -1: there is none */
    int64_t size; /* bytes of the end that have been counted */
    bool any;     /* there is something */
    bool cut;     /* something stands before what is given */
};

/* ---- the query ---- */

/* Reads a number; adds its fault. */
static void load_number(const struct call *c, const char *name, int64_t *ret, json_t *errors)
{
    struct text t;

    if (query_first(c->request, name, &t) && (t.len > NUMBER_DIGITS || !file_number_parse(t, ret)))
        json_object_set_new(errors, name, json_pack("[s]", "Must be a whole number."));
}

static enum log_form form_of(const struct call *c, json_t *errors)
{
    struct text accept = c->request->headers[HDR_ACCEPT], t;

    if (accept_quality(accept, TYPE_LINES) <= 0)
        return FORM_TEXT;
    if (!query_first(c->request, "texts", &t))
        return FORM_LINES;
    if (!text_is(t, "no"))
        json_object_set_new(errors, "texts", json_pack("[s]", "Must be no, or not be there."));
    return FORM_SIZES;
}

/* False: answered. */
static bool load(struct call *c, struct reading *r)
{
    json_t *errors = json_object();
    struct text t;

    if (query_first(c->request, "phase", &t) && (r->at.phase = phase_of(t)) < 0)
        json_object_set_new(errors, "phase", json_pack("[s]", "There is no such phase."));
    load_number(c, "start", &r->at.number, errors);
    load_number(c, "until", &r->at.until, errors);
    load_number(c, "tail", &r->tail, errors);
    r->at.form = form_of(c, errors);
    if (json_object_size(errors)) {
        query_invalid(c, errors);
        return false;
    }
    json_decref(errors);
    return true;
}

/* ---- where to begin ---- */

static int64_t behind(const struct log_piece *p)
{
    return p->number < INT64_MAX ? p->number + 1 : p->number;
}

/* Of fragments, from the last one on: finds the place at which the tail begins. */
static bool take_from_end(void *arg, const struct log_piece *p)
{
    struct reading *r = arg;

    if (p->number > r->at.until)
        return true;
    if (!r->any)
        r->last = p->number;
    r->any = true;
    if (r->tail < 0)
        return false;
    if (r->size == 0)
        r->at.number = behind(p);
    if (r->size >= r->want) {
        r->cut = true;
        return false;
    }
    r->size += (int64_t)p->text.len;
    r->at.number = p->number;
    return true;
}

/* What is there now, and no more: a log may grow faster than it is read. */
static enum err find_fragments(struct call *c, struct reading *r)
{
    struct log_read read = {.job_id = r->at.job_id,
                            .type = r->at.type,
                            .phase = r->at.phase,
                            .start = r->at.number,
                            .since_ms = INT64_MIN,
                            .batch = r->tail < 0 ? 1 : 0,
                            .backwards = true,
                            .take = take_from_end,
                            .arg = r};
    enum err e = store_logs_sizes(c->store, &read);

    if (r->any)
        r->at.until = r->last;
    return e;
}

static bool take_size(void *arg, const struct log_piece *p)
{
    struct reading *r = arg;

    if (p->number <= r->at.until) {
        r->any = true;
        r->size += (int64_t)p->text.len + (r->at.source == LOG_LIVE);
    }
    return true;
}

/* Of others, from the first one on: drops what stands before the tail. */
static bool take_drop(void *arg, const struct log_piece *p)
{
    struct reading *r = arg;
    int64_t len = (int64_t)p->text.len + (r->at.source == LOG_LIVE);

    r->at.number = p->number;
    if (r->size - len < r->want)
        return false;
    r->size -= len;
    r->at.number = behind(p);
    r->cut = true;
    return true;
}

static enum err find_others(struct call *c, struct reading *r)
{
    enum err e = ERR_OK;

    for (int i = LOG_FIELDS; !e && !r->any && i <= LOG_LIVE; i++) {
        r->at.source = (enum log_source)i;
        e = log_pieces(c, &r->at, false, take_size, r);
    }
    if (!e && r->any && r->tail >= 0) {
        struct log_place at = r->at;
        e = log_pieces(c, &at, false, take_drop, r);
    }
    return e;
}

static enum err find(struct call *c, struct reading *r)
{
    r->want = r->tail + 1;
    enum err e = find_fragments(c, r);
    if (!e && !r->any)
        e = find_others(c, r);
    if (r->tail >= 0 && r->size > r->tail && r->at.form == FORM_TEXT) {
        r->at.skip = r->size - r->want;
        r->cut = true;
    }
    return e;
}

/* ---- the answer ---- */

/* A tail begins with a line, where one begins in its first part. */
static void drop_half_line(const struct reading *r, struct buf *text)
{
    char *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
    size_t n = end ? (size_t)(end - text->data) + 1 : r->tail ? 0 : text->len;

    if (n)
        memmove(text->data, text->data + n, text->len - n);
    text->len -= n;
}

static void reply(struct call *c, const struct reading *r, struct buf *text, bool more)
{
    static const char *const names[] = {"output", "serial"};
    char header[FILE_INFO_SIZE];
    struct text t;

    if (r->cut && r->at.form == FORM_TEXT)
        drop_half_line(r, text);
    reply_buf(c, 200, r->at.form == FORM_TEXT ? "text/plain; charset=utf-8" : TYPE_LINES, text);
    if (!more)
        reply_tag(c);
    reply_header(c, "Cache-Control", "private, no-cache");
    reply_header(c, "Vary", "Accept, Accept-Encoding, Cookie");
    if (r->last >= 0) {
        snprintf(header, sizeof header, "%" PRId64, r->last);
        reply_header(c, "Log-Last", header);
    }
    if (r->cut)
        reply_header(c, "Log-Cut", "start");
    if (query_first(c->request, "download", &t)) {
        snprintf(header, sizeof header, "attachment; filename=\"%.8s-%s.%s\"", r->at.job_id.s,
                 names[r->at.type], r->at.form == FORM_TEXT ? "log" : "ndjson");
        reply_header(c, "Content-Disposition", header);
    }
    if (more) {
        log_place_print(&r->at, header);
        reply_header(c, PART_NEXT, header);
    }
}

static void log_of(struct call *c, enum output_type type)
{
    struct reading r = {
        .at = {.job_id = c->request->params[0], .type = type, .phase = -1, .until = INT64_MAX},
        .tail = -1,
        .last = -1};
    struct buf text = BUF_INIT(0);
    bool more = false;

    if (!job_id_valid(r.at.job_id.s, r.at.job_id.len)) {
        page_not_found(c, "Job", r.at.job_id);
        return;
    }
    if (!load(c, &r))
        return;
    enum err e = find(c, &r);
    if (!e)
        e = log_part_read(c, &r.at, (size_t)FILE_CHUNK, &text, &more);
    if (e == ERR_NOT_FOUND)
        page_not_found(c, "Job", r.at.job_id);
    else if (e)
        reply_err(c, e);
    else
        reply(c, &r, &text, more);
    buf_free(&text);
}

void h_web_log_output(struct call *calls[], size_t n)
{
    (void)n;
    log_of(calls[0], OUTPUT_OUTPUT);
}

void h_web_log_serial(struct call *calls[], size_t n)
{
    (void)n;
    log_of(calls[0], OUTPUT_SERIAL);
}

/* ---- further parts ---- */

void h_log_part(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text where = file_param(c->request, FILE_PARAM_INFO);
    char next[FILE_INFO_SIZE];
    struct buf text = BUF_INIT(0);
    struct log_place at;
    int64_t size = 0;
    bool more;

    (void)n;
    if (!where.s || !log_place_parse(where, &at) ||
        !file_number_parse(file_param(c->request, FILE_PARAM_SIZE), &size) ||
        size < (int64_t)LOG_PART_MIN || size > FILE_PIECE) {
        log_error("refused a request of a frontend for a part of a log: it names none; run the "
                  "same release in all processes");
        reply_err(c, ERR_INTERNAL);
        return;
    }
    enum err e = log_part_read(c, &at, (size_t)size, &text, &more);
    if (e) {
        reply_err(c, e);
    } else {
        reply_buf(c, 200, "text/plain", &text);
        if (more) {
            log_place_print(&at, next);
            reply_header(c, PART_NEXT, next);
        }
    }
    buf_free(&text);
}
