/* Logs of a job by fragments: posted by newer agents, read by newer clients. */
#include "common/bus.h"
#include "worker/encoding/json_string.h"
#include "worker/http/etag.h"
#include "worker/http/jsonbody.h"
#include "worker/http/query.h"
#include "worker/logs/fragments.h"
#include "worker/logs/key.h"
#include "worker/request/answer.h"
#include "worker/request/call.h"
#include "worker/validation/fieldtypes.h"
#include "worker/validation/job_id.h"
#include "worker/validation/schemas.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_log_output_add, h_log_serial_add, h_log_output_get, h_log_serial_get;

/* ---- posts ---- */

static struct text text_field(const json_t *body, const char *name)
{
    return json_string_text(json_object_get(body, name));
}

/* Fills in a fragment, which points into *ret_body. False: answered. */
static bool load(struct log_fragment *f, json_t **ret_body, struct call *c, enum output_type type)
{
    json_t *body = json_body_load(c, &schema_log_fragment, 0);

    if (!body)
        return false;
    *f = (struct log_fragment){.job_id = c->request->params[0],
                               .type = type,
                               .phase = phase_of(text_field(body, "phase")),
                               .number =
                                   json_integer_value(json_object_get(body, "fragment_number")),
                               .at_ms = json_integer_value(json_object_get(body, "timestamp")),
                               .text = text_field(body, "log_data")};
    *ret_body = body;
    if (!job_id_valid(f->job_id.s, f->job_id.len))
        reply_error(c, 400, INVALID_JOB_ID);
    else if (f->text.len > LOG_FRAGMENT_MAX)
        reply_error(c, 413, "log_data is longer than %zu bytes; post it in several fragments",
                    LOG_FRAGMENT_MAX);
    else {
        log_key(f);
        return true;
    }
    json_decref(body);
    return false;
}

static void add(struct call *calls[], size_t n, enum output_type type)
{
    struct call *adding[BUS_BUNDLE_MAX];
    struct log_fragment fragments[BUS_BUNDLE_MAX];
    json_t *bodies[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (load(&fragments[len], &bodies[len], calls[i], type))
            adding[len++] = calls[i];
    enum err all = len ? store_logs_add(calls[0]->store, fragments, len) : ERR_OK;
    for (size_t i = 0; i < len; i++) {
        enum err e = all ? all : fragments[i].err;
        if (e)
            reply_err(adding[i], e);
        else
            reply_text(adding[i], 200, "OK");
        adding[i]->touch = TOUCH_AGENT;
        json_decref(bodies[i]);
    }
}

void h_log_output_add(struct call *calls[], size_t n)
{
    add(calls, n, OUTPUT_OUTPUT);
}

void h_log_serial_add(struct call *calls[], size_t n)
{
    add(calls, n, OUTPUT_SERIAL);
}

/* ---- the query of a read ---- */

static json_t *phase_fault(void)
{
    char text[256];
    size_t used = (size_t)snprintf(text, sizeof text, "Must be one of: ");

    for (int i = 0; i < PHASE_COUNT && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "",
                                 phase_names[i]);
    return json_sprintf("%s.", text);
}

/* Reads digits with an optional sign; a number beyond 64 bits becomes the nearest one. */
static bool parse_number(struct text t, int64_t *ret)
{
    bool negative = t.len && *t.s == '-';
    size_t i = negative;
    int64_t n = 0;

    if (i == t.len)
        return false;
    for (; i < t.len; i++) {
        if (t.s[i] < '0' || t.s[i] > '9')
            return false;
        n = n > (INT64_MAX - 9) / 10 ? INT64_MAX / 10 - 1 : n;
        n = n * 10 + (t.s[i] - '0');
    }
    *ret = negative ? -n : n;
    return true;
}

/* Reads one parameter; returns its fault, NULL: none. */
static json_t *take_parameter(struct log_read *r, const char *name, struct text value)
{
    if (strcmp(name, "phase") == 0) {
        r->phase = phase_of(value);
        return r->phase < 0 ? phase_fault() : NULL;
    }
    if (strcmp(name, "start_fragment") == 0) {
        if (!parse_number(value, &r->start))
            return json_string("Not a valid integer.");
        return r->start < 0 ? json_string("Must be greater than or equal to 0.") : NULL;
    }
    return datetime_from_text(value.s, value.len, &r->since_ms)
               ? NULL
               : json_string("Not a valid datetime.");
}

/* Reads the query; returns {FIELD: [TEXT]} of its faults, NULL: none. */
static json_t *load_query(const struct request *q, struct log_read *r)
{
    static const char *const known[] = {"phase", "start_fragment", "start_timestamp"};
    json_t *faults = json_object(), *fault;
    struct text value;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (query_first(q, known[i], &value) && (fault = take_parameter(r, known[i], value)))
            json_object_set_new(faults, known[i], json_pack("[o]", fault));
    for (size_t i = 0; i < q->query_len; i++) {
        struct text name = q->query[i].name;
        bool is_known = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            is_known |= name.len == strlen(known[k]) && memcmp(name.s, known[k], name.len) == 0;
        if (is_known || memchr(name.s, '\0', name.len))
            continue;
        char *text = strndup(name.s, name.len);
        if (text)
            json_object_set_new(faults, text, json_pack("[s]", "Unknown field."));
        free(text);
    }
    return faults;
}

/* ---- the answer of a read ---- */

#define RANGES_MAX 16 /* ranges of missing numbers in the header */

/* Adds a header with the missing numbers between `start` and the last fragment. */
static void tell_missing(struct call *c, const struct log_numbers *n)
{
    struct buf list = BUF_INIT(1024);
    int64_t next = n->start;
    int ranges = 0;

    for (size_t i = 0; i < n->len; i++) {
        int64_t number = n->numbers[i].number;
        if (number > next && ranges++ < RANGES_MAX) {
            enum err e = buf_printf(&list, "%s%" PRId64, list.len ? ", " : "", next);
            if (!e && number - 1 > next)
                e = buf_printf(&list, "-%" PRId64, number - 1);
            if (e)
                break;
        }
        next = number < INT64_MAX ? number + 1 : number;
    }
    if (ranges > RANGES_MAX && buf_add(&list, ", ...", 5))
        ranges = 0;
    if (list.len)
        reply_header(c, "Missing-Fragments", list.data);
    buf_free(&list);
}

/* {"TYPE": {PHASE: {"last_fragment_number": N, "log_data": TEXT}, ...}} */
static void reply_joined(struct call *c, const char *type, int phase, const struct log_join *j)
{
    struct buf body = BUF_INIT(BUS_MESSAGE_MAX);
    bool first = true;
    enum err e = buf_printf(&body, "{\"%s\": {", type);

    for (int i = 0; !e && i < PHASE_COUNT; i++) {
        if (phase >= 0 && i != phase)
            continue;
        e = buf_printf(&body, "%s\"%s\": {\"last_fragment_number\": %" PRId64 ", \"log_data\": \"",
                       first ? "" : ", ", phase_names[i], j->last[i]);
        if (!e)
            e = buf_add(&body, j->text[i].data, j->text[i].len);
        if (!e)
            e = buf_add(&body, "\"}", 2);
        first = false;
    }
    if (!e)
        e = buf_add(&body, "}}", 2);
    if (e)
        reply_err(c, e);
    else
        reply_buf(c, 200, "application/json", &body);
    buf_free(&body);
}

/* What a read of both kinds needs. */
struct reading {
    struct log_read read;
    struct log_join join;
};

/* Takes an entry of live output if it was asked for. */
static bool take_entry(void *arg, const struct log_piece *p)
{
    struct reading *r = arg;

    if (p->number < r->read.start || p->at_ms < r->read.since_ms ||
        (r->read.phase >= 0 && p->phase != r->read.phase))
        return true;
    return log_join_take(&r->join, p);
}

/* Reads live output with its texts, but only the numbers of fragments. */
static enum err look(struct store *s, struct reading *r, struct log_numbers *n)
{
    enum err e = store_output_view(s, r->read.job_id, r->read.type, take_entry, r);

    return e ? e : store_logs_numbers(s, n);
}

/* The tag covers the query, live output and the numbers of fragments, not their texts: a stored
 * fragment never changes. */
static void tag_of(const struct reading *r, const struct log_numbers *n, char out[ETAG_SIZE])
{
    struct etag *t = etag_new();

    etag_add_int(t, r->read.type);
    etag_add_int(t, r->read.phase);
    etag_add_int(t, r->read.start);
    etag_add_int(t, r->read.since_ms);
    for (int i = 0; i < PHASE_COUNT; i++) {
        etag_add_int(t, r->join.last[i]);
        etag_add_int(t, (int64_t)r->join.text[i].len);
        etag_add(t, r->join.text[i].data, r->join.text[i].len);
    }
    for (size_t i = 0; i < n->len; i++) {
        etag_add_int(t, n->numbers[i].phase);
        etag_add_int(t, n->numbers[i].number);
    }
    etag_end(t, out);
}

static enum err read_fragments(struct store *s, struct reading *r, const struct log_numbers *n)
{
    for (size_t i = 0; !r->join.cut && i < n->len; i++)
        if (r->read.phase < 0 || n->numbers[i].phase == r->read.phase)
            return store_logs_read(s, &r->read);
    return ERR_OK;
}

/* Answers with everything read. */
static void reply_read(struct call *c, struct reading *r, const struct log_numbers *n)
{
    static const char *const names[] = {"output", "serial"};
    enum err e = read_fragments(c->store, r, n);
    char next[24];

    if (e) {
        reply_err(c, e);
        return;
    }
    reply_joined(c, names[r->read.type], r->read.phase, &r->join);
    tell_missing(c, n);
    snprintf(next, sizeof next, "%" PRId64, r->join.next);
    if (r->join.cut)
        reply_header(c, "Next-Fragment", next);
}

static void get(struct call *c, enum output_type type)
{
    struct reading r = {.read = {.job_id = c->request->params[0],
                                 .type = type,
                                 .phase = -1,
                                 .since_ms = INT64_MIN,
                                 .take = log_join_take,
                                 .arg = &r.join}};
    char tag[ETAG_SIZE];

    if (!job_id_valid(r.read.job_id.s, r.read.job_id.len)) {
        reply_error(c, 400, INVALID_JOB_ID_TEXT);
        return;
    }
    json_t *faults = load_query(c->request, &r.read);
    if (json_object_size(faults)) {
        reply_json(c, 400, json_pack("{s:{}, s:o}", "detail", "message", faults));
        return;
    }
    json_decref(faults);
    struct log_numbers n = {.job_id = r.read.job_id, .type = type, .start = r.read.start};
    log_join_init(&r.join, ANSWER_MAX);
    enum err e = look(c->store, &r, &n);
    if (e) {
        reply_err(c, e);
    } else {
        tag_of(&r, &n, tag);
        if (!reply_unchanged(c, tag))
            reply_read(c, &r, &n);
    }
    log_join_free(&r.join);
    free(n.numbers);
}

void h_log_output_get(struct call *calls[], size_t n)
{
    (void)n;
    get(calls[0], OUTPUT_OUTPUT);
}

void h_log_serial_get(struct call *calls[], size_t n)
{
    (void)n;
    get(calls[0], OUTPUT_SERIAL);
}
