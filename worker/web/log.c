/* A job's log as plain text. */
#include "worker/encoding/json_string.h"
#include "worker/handlers/result_fields.h"
#include "worker/http/etag.h"
#include "worker/http/query.h"
#include "worker/request/answer.h"
#include "worker/validation/job_id.h"
#include "worker/web/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_web_log_output, h_web_log_serial;

#define TEXT_MAX     (ANSWER_MAX - 64 * 1024) /* bytes of one answer */
#define START_DIGITS 18

struct reading {
    struct log_read read;
    struct buf text;
    bool any;     /* something was there */
    bool cut;     /* there is more */
    int64_t next; /* then: the number to go on at */
};

static bool add(struct reading *r, struct text t)
{
    r->any = true;
    return buf_add(&r->text, t.s, t.len) == ERR_OK;
}

static bool take(void *arg, const struct log_piece *piece)
{
    struct reading *r = arg;

    if (r->text.len && r->text.len + piece->text.len > TEXT_MAX) {
        r->cut = true;
        r->next = piece->number;
        return false;
    }
    return add(r, piece->text);
}

static bool take_live(void *arg, const struct log_piece *piece)
{
    static const char end[] = "\n";
    struct reading *r = arg;

    if (r->read.phase >= 0 && piece->phase != r->read.phase)
        return true;
    return add(r, piece->text) && add(r, (struct text){end, 1});
}

/* Texts that older agents posted as fields of the result. */
static void take_fields(const json_t *result, struct reading *r)
{
    char name[RESULT_NAME_SIZE];

    for (int i = 0; i < PHASE_COUNT; i++) {
        result_name(i, r->read.type, name);
        const json_t *value = json_object_get(result, name);
        if (json_is_string(value) && (r->read.phase < 0 || r->read.phase == i))
            add(r, json_string_text(value));
    }
}

/* Fragments, else the fields, else live output. ERR_NOT_FOUND: there is no such job. */
static enum err read_all(struct call *c, struct reading *r)
{
    struct job_read result = {.job_id = r->read.job_id, .part = RESULT_ALL};
    enum err e = store_logs_read(c->store, &r->read);

    if (e || r->any)
        return e;
    e = store_results_get(c->store, &result, 1);
    if (!e)
        e = result.err;
    if (e)
        return e;
    take_fields(result.value, r);
    json_decref(result.value);
    return r->any ? ERR_OK
                  : store_output_view(c->store, r->read.job_id, r->read.type, take_live, r);
}

/* Reads `phase` and `start`. False: answered. */
static bool load(struct call *c, struct reading *r)
{
    json_t *errors = json_object();
    struct text t;

    if (query_first(c->request, "phase", &t) && (r->read.phase = phase_of(t)) < 0)
        json_object_set_new(errors, "phase", json_pack("[s]", "There is no such phase."));
    if (query_first(c->request, "start", &t) &&
        (t.len > START_DIGITS || !file_number_parse(t, &r->read.start)))
        json_object_set_new(errors, "start", json_pack("[s]", "Must be a whole number."));
    if (json_object_size(errors)) {
        query_invalid(c, errors);
        return false;
    }
    json_decref(errors);
    return true;
}

static void reply(struct call *c, struct reading *r)
{
    const char *type = output_type_names[r->read.type];
    char header[128];
    struct text t;

    reply_buf(c, 200, "text/plain; charset=utf-8", &r->text);
    reply_tag(c);
    reply_header(c, "Cache-Control", "private, no-cache");
    if (query_first(c->request, "download", &t)) {
        snprintf(header, sizeof header, "attachment; filename=\"%.8s-%s.log\"",
                 c->request->params[0].s, type);
        reply_header(c, "Content-Disposition", header);
    }
    if (!r->cut)
        return;
    snprintf(
        header, sizeof header, "<?start=%" PRId64 "%s%s>; rel=\"next\"", r->next,
        r->read.phase < 0 ? "" : "&phase=", r->read.phase < 0 ? "" : phase_names[r->read.phase]);
    reply_header(c, "Link", header);
}

static void log_of(struct call *c, enum output_type type)
{
    struct reading r = {.read = {.job_id = c->request->params[0],
                                 .type = type,
                                 .phase = -1,
                                 .since_ms = INT64_MIN,
                                 .take = take,
                                 .arg = &r},
                        .text = BUF_INIT(ANSWER_MAX)};

    if (!job_id_valid(r.read.job_id.s, r.read.job_id.len)) {
        page_not_found(c, "Job", r.read.job_id);
        return;
    }
    if (load(c, &r)) {
        enum err e = read_all(c, &r);
        if (e == ERR_NOT_FOUND)
            page_not_found(c, "Job", r.read.job_id);
        else if (e)
            reply_err(c, e);
        else
            reply(c, &r);
    }
    buf_free(&r.text);
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
