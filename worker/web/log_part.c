#include "worker/web/log_part.h"

#include "common/clock.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/result_fields.h"
#include "worker/logs/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD_MAX ((size_t)256) /* bytes of a line of JSON but its text */
#define FEW      4             /* fragments that are fetched at first */
/* ---- places ---- */

void log_place_print(const struct log_place *at, char out[FILE_INFO_SIZE])
{
    snprintf(out, FILE_INFO_SIZE,
             "%d %d %d %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %.*s", (int)at->source,
             (int)at->type, (int)at->form, at->phase + 1, at->until, at->number, at->given,
             at->skip, (int)at->job_id.len, at->job_id.s);
}

/* Takes a number from 0 to `max` and the blank behind it from the front of the text. */
static bool take_number(struct text *t, int64_t max, int64_t *ret)
{
    const char *end = t->len ? memchr(t->s, ' ', t->len) : NULL;
    struct text digits = {t->s, end ? (size_t)(end - t->s) : 0};

    if (!end || !file_number_parse(digits, ret) || *ret > max)
        return false;
    *t = (struct text){end + 1, t->len - digits.len - 1};
    return true;
}

bool log_place_parse(struct text t, struct log_place *ret)
{
    int64_t source, type, form, phase;

    if (!take_number(&t, LOG_SOURCES - 1, &source) || !take_number(&t, OUTPUT_TYPES - 1, &type) ||
        !take_number(&t, FORMS - 1, &form) || !take_number(&t, PHASE_COUNT, &phase) ||
        !take_number(&t, INT64_MAX, &ret->until) || !take_number(&t, INT64_MAX, &ret->number) ||
        !take_number(&t, INT64_MAX, &ret->given) || !take_number(&t, INT64_MAX, &ret->skip))
        return false;
    ret->source = (enum log_source)source;
    ret->type = (enum output_type)type;
    ret->form = (enum log_form)form;
    ret->phase = (int)phase - 1;
    ret->job_id = t;
    return true;
}

/* ---- sources ---- */

/* Passes on what a reader of fields or live output asked for. */
struct filter {
    const struct log_place *at;
    log_take_fn *take;
    void *arg;
};

static bool pass(void *arg, const struct log_piece *piece)
{
    const struct filter *f = arg;

    return piece->number < f->at->number || (f->at->phase >= 0 && piece->phase != f->at->phase) ||
           f->take(f->arg, piece);
}

static enum err fields(struct call *c, struct filter *f)
{
    struct job_read result = {.job_id = f->at->job_id, .part = RESULT_ALL};
    enum err e = store_results_get(c->store, &result, 1);
    char name[RESULT_NAME_SIZE];
    bool more = true;

    if (!e)
        e = result.err;
    if (e)
        return e;
    for (int i = 0; more && i < PHASE_COUNT; i++) {
        result_name(i, f->at->type, name);
        const json_t *value = json_object_get(result.value, name);
        struct log_piece piece = {.phase = i, .number = i, .text = json_string_text(value)};
        more = !piece.text.s || pass(f, &piece);
    }
    json_decref(result.value);
    return ERR_OK;
}

enum err log_pieces(struct call *c, const struct log_place *at, bool sizes, log_take_fn *take,
                    void *arg)
{
    struct filter f = {at, take, arg};
    struct log_read read = {.job_id = at->job_id,
                            .type = at->type,
                            .phase = at->phase,
                            .start = at->number,
                            .since_ms = INT64_MIN,
                            .batch = sizes ? 0 : FEW,
                            .take = take,
                            .arg = arg};

    if (at->source == LOG_FIELDS)
        return fields(c, &f);
    if (at->source == LOG_LIVE)
        return store_output_view(c->store, at->job_id, at->type, pass, &f);
    return sizes ? store_logs_sizes(c->store, &read) : store_logs_read(c->store, &read);
}

/* ---- a part ---- */

struct part {
    struct log_place *at; /* where the next part begins, once there is one */
    int64_t number;       /* of the last fragment that came; -1: none came */
    int64_t given, skip;  /* those of the place when the part began, for its first number */
    int64_t first;        /* that number */
    int64_t nth;          /* of the next fragment, of those with this number */
    struct buf *out;
    size_t max;
    bool more;
    enum err err;
};

static void add(struct part *r, const char *s, size_t len)
{
    if (!r->err)
        r->err = buf_add(r->out, s, len);
}

/* An older agent posts lines without their ends. */
static const char *end_of(const struct part *r)
{
    return r->at->source == LOG_LIVE ? "\n" : "";
}

static void add_head(struct part *r, const struct log_piece *p)
{
    char at[CLOCK_TEXT_SIZE], head[HEAD_MAX];

    clock_rfc3339_ms(p->at_ms, at);
    int len = snprintf(
        head, sizeof head, "{\"n\": %" PRId64 ", \"phase\": \"%s\", \"at\": %s%s%s, ", p->number,
        phase_names[p->phase], p->at_ms ? "\"" : "", p->at_ms ? at : "null", p->at_ms ? "\"" : "");
    add(r, head, (size_t)len);
    if (r->at->form == FORM_LINES) {
        add(r, "\"text\": \"", 9);
        return;
    }
    len = snprintf(head, sizeof head, "\"bytes\": %zu}\n", p->text.len + strlen(end_of(r)));
    add(r, head, (size_t)len);
}

/* Writes what fits of a fragment from a byte on; returns the byte up to which it is written. */
static size_t write_piece(struct part *r, const struct log_piece *p, size_t from)
{
    struct text rest = {p->text.s + from, p->text.len - from};
    size_t room = r->max - r->out->len;
    bool whole;

    if (r->at->form == FORM_TEXT) {
        size_t n = rest.len < room ? rest.len : room;
        add(r, rest.s, n);
        whole = n == rest.len;
        if (whole)
            add(r, end_of(r), strlen(end_of(r)));
        return from + n;
    }
    if (from == 0)
        add_head(r, p);
    size_t n = json_text_add_front(r->out, rest, r->max - r->out->len);
    whole = n == rest.len;
    if (whole && *end_of(r))
        add(r, "\\n", 2);
    if (whole)
        add(r, "\"}\n", 3);
    return from + n;
}

static bool cut(struct part *r, const struct log_piece *p, int64_t given, size_t skip)
{
    r->more = true;
    r->at->number = p->number;
    r->at->given = given;
    r->at->skip = (int64_t)skip;
    return false;
}

static bool take(void *arg, const struct log_piece *p)
{
    struct part *r = arg;
    size_t from = 0;

    if (p->number > r->at->until)
        return false;
    r->nth = p->number == r->number ? r->nth + 1 : 0;
    r->number = p->number;
    if (p->number == r->first && r->nth < r->given)
        return true;
    if (p->number == r->first && r->nth == r->given)
        from = (size_t)r->skip < p->text.len ? (size_t)r->skip : p->text.len;
    if (r->out->len + HEAD_MAX > r->max)
        return cut(r, p, r->nth, from);
    if (r->at->form == FORM_SIZES) {
        add_head(r, p);
        return !r->err;
    }
    size_t to = write_piece(r, p, from);
    if (r->err)
        return false;
    return to == p->text.len || cut(r, p, r->nth, to);
}

enum err log_part_read(struct call *c, struct log_place *at, size_t max, struct buf *ret,
                       bool *ret_more)
{
    struct part r = {.at = at,
                     .number = -1,
                     .first = at->number,
                     .given = at->given,
                     .skip = at->skip,
                     .out = ret,
                     .max = max};

    ret->max = max + HEAD_MAX; /* for the end of a line */
    enum err e = log_pieces(c, at, at->form == FORM_SIZES, take, &r);
    *ret_more = r.more;
    return e ? e : r.err;
}
