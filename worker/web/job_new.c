/* The page on which people write a job, and what its form does. */
#include "common/mem.h"
#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/submit.h"
#include "worker/http/query.h"
#include "worker/request/form.h"
#include "worker/validation/job_id.h"
#include "worker/web/act.h"
#include "worker/web/faults.h"
#include "worker/web/job_parts.h"
#include "worker/web/page.h"
#include "worker/web/values.h"
#include "worker/web/yaml_out.h"

#include <stdlib.h>
#include <string.h>

handler_fn h_page_job_new, h_web_job_new, h_job_add;

#define MINUTES_DEFAULT "60"
#define MINUTES_MAX     (365 * 24 * 60)

/* What the form shows. */
struct draft {
    json_t *text;              /* owned: the definition */
    bool reserve;              /* with the fields of a reservation: */
    struct text keys, minutes; /* as typed */
    json_t *faults;            /* owned; NULL: none */
    bool checked;              /* and found right */
};

/* The key is the id of this request: each page that is sent out makes one job at most, however
 * often its button is pressed. */
static json_t *model_of(const struct call *c, const struct draft *d)
{
    return json_pack("{s:s, s:O, s:s, s:b, s:o, s:o, s:b, s:O, s:b}", "title", "Submit a job",
                     "text", d->text, "key", c->request->id, "reserve", d->reserve, "ssh_keys",
                     page_text(d->keys.s ? d->keys : (struct text){"", 0}), "minutes",
                     page_text(d->minutes), "has_faults", json_array_size(d->faults) > 0, "faults",
                     d->faults, "is_checked", d->checked);
}

static void show(struct call *c, int status, struct draft *d)
{
    if (!d->faults)
        d->faults = json_array();
    page_reply(c, status, model_of(c, d));
    json_decref(d->text);
    json_decref(d->faults);
}

/* ---- the empty form, or one that is filled in ---- */

/* The definition of a job; NULL: answered. */
static json_t *text_of_job(struct call *c, struct text id)
{
    struct job_read read = {.job_id = id};
    json_t *definition = NULL;
    enum err e = job_id_valid(id.s, id.len) ? store_jobs_get(c->store, &read, 1) : ERR_NOT_FOUND;
    struct job_parts parts = {.id = id, .data = read.value};

    if (!e && !(e = read.err))
        e = job_definition(&parts, &definition);
    json_t *text = json_incref(json_object_get(definition, "yaml"));
    if (e == ERR_NOT_FOUND)
        page_not_found(c, "Job", id);
    else if (e)
        reply_err(c, e);
    else if (!json_is_string(text))
        reply_error(c, 422, "The definition of this job is too large for a page");
    json_decref(definition);
    json_decref(read.value);
    if (!c->reply.status)
        return text;
    json_decref(text);
    return NULL;
}

/* Sets what an image of a queue says, which is YAML, or a text of another agent. */
static void set_image(json_t *job, const json_t *image)
{
    struct yaml_fault fault;
    struct yaml_in *y =
        json_is_string(image) ? yaml_in_read(json_string_text(image), &fault) : NULL;
    json_t *data = y ? yaml_in_value(y) : NULL;

    if (json_is_object(data))
        json_object_set(job, "provision_data", data);
    else if (image)
        json_object_set_new(job, "provision_data", page_value(image));
    json_decref(data);
    yaml_in_free(y);
}

/* What a job of this queue begins with; NULL: answered. */
static json_t *text_of_queue(struct call *c, struct text queue, bool reserve)
{
    struct buf yaml = BUF_INIT(4 * YAML_TEXT_MAX);
    json_t *job = json_pack("{s:o}", "job_queue", page_text(queue)), *images = NULL, *text = NULL;
    struct text image;
    enum err e = ERR_OK;

    if (query_first(c->request, "image", &image) &&
        !(e = store_images_get(c->store, queue, &images)))
        set_image(job, json_object_getn(images, image.len ? image.s : "", image.len));
    if (!e && !reserve)
        json_object_set_new(job, "test_data", json_pack("{s:s}", "test_cmds", "uname -a\n"));
    if (!e)
        e = yaml_write(job, &yaml);
    if (e)
        reply_err(c, e);
    else
        text = page_text((struct text){yaml.data, yaml.len});
    buf_free(&yaml);
    json_decref(images);
    json_decref(job);
    return text;
}

void h_page_job_new(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct draft d = {.minutes = {MINUTES_DEFAULT, strlen(MINUTES_DEFAULT)}};
    struct text id, queue, reserve;

    (void)n;
    d.reserve = query_first(c->request, "reserve", &reserve) && text_is(reserve, "1");
    if (query_first(c->request, "from", &id) && id.len)
        d.text = text_of_job(c, id);
    else if (query_first(c->request, "queue", &queue))
        d.text = text_of_queue(c, queue, d.reserve);
    else
        d.text = json_string("");
    if (d.text)
        show(c, 200, &d);
}

/* ---- the form that comes back ---- */

/* The lines of a field, blanks around them left out. */
static json_t *lines_of(struct text t)
{
    json_t *all = json_array();

    while (t.len) {
        const char *end = memchr(t.s, '\n', t.len);
        size_t len = end ? (size_t)(end - t.s) : t.len;
        struct text line = text_trim((struct text){t.s, len}, " \t\r");
        if (line.len)
            json_array_append_new(all, page_text(line));
        t.s += len + (end != NULL);
        t.len -= len + (end != NULL);
    }
    return all;
}

/* Puts the fields of a reservation into the job. False: a fault. */
static bool set_reservation(struct draft *d, json_t *job)
{
    json_int_t minutes = 0;
    struct text digits = text_trim(d->minutes, " ");

    for (size_t i = 0; i < digits.len && minutes <= MINUTES_MAX; i++)
        minutes = digits.s[i] >= '0' && digits.s[i] <= '9' ? minutes * 10 + (digits.s[i] - '0')
                                                           : MINUTES_MAX + 1;
    if (minutes < 1 || minutes > MINUTES_MAX) {
        d->faults = faults_one(0, 0, "The time must be a whole number of minutes from 1 on");
        return false;
    }
    json_object_set_new(
        job, "reserve_data",
        json_pack("{s:o, s:I}", "ssh_keys", lines_of(d->keys), "timeout", minutes * 60));
    return true;
}

/* The job that the form describes, new reference; NULL: d->faults. */
static json_t *job_of(struct draft *d, struct text text, struct yaml_in **ret_lines)
{
    struct yaml_fault fault;
    json_t *job;

    *ret_lines = yaml_in_read(text, &fault);
    if (!*ret_lines) {
        d->faults = faults_one(fault.line, fault.column, fault.text);
        return NULL;
    }
    job = yaml_in_value(*ret_lines);
    if (json_is_object(job) && (!d->reserve || set_reservation(d, job)))
        return job;
    if (!d->faults)
        d->faults =
            faults_one(0, 0, "A job consists of names and their values, as in job_queue: NAME");
    json_decref(job);
    return NULL;
}

/* Checks or submits as the API does. True: it is right; else d->faults. */
static bool submit(struct call *c, struct draft *d, json_t *job, const struct yaml_in *lines)
{
    struct text key = form_text(c, "key");
    bool check = form_has(c, "check");
    const struct act act = {.op = OP_JOB_ADD,
                            .handler = check ? submit_check : h_job_add,
                            .body = job,
                            .idempotent = key.len ? key : (struct text){NULL, 0}};

    d->checked = act_run(c, &act);
    if (!d->checked)
        d->faults = faults_of_answer(c, lines);
    return d->checked;
}

/* Leads to the job that the API's answer names. */
static void lead_to_job(struct call *c)
{
    json_t *body = json_loadb(c->reply.body.s, c->reply.body.len, 0, NULL);
    const json_t *id = json_object_get(body, "job_id");

    page_see_other(c, page_url("/jobs/", json_string_text(id), "?done=submitted"));
    json_decref(body);
}

void h_web_job_new(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text text = form_text(c, "definition");
    struct draft d = {.reserve = form_has(c, "reserve"),
                      .keys = form_text(c, "ssh_keys"),
                      .minutes = form_text(c, "minutes")};
    struct yaml_in *lines = NULL;
    json_t *job;
    int status = 422;

    (void)n;
    if (!text.s)
        text = (struct text){"", 0};
    job = job_of(&d, text, &lines);
    bool right = job && submit(c, &d, job, lines);
    if (job)
        status = c->reply.status;
    if (right && !form_has(c, "check")) {
        lead_to_job(c);
    } else {
        d.text = page_text(text);
        faults_quote(d.faults, text);
        show(c, status, &d);
    }
    yaml_in_free(lines);
}
