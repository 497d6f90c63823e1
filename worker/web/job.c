/* The page of a job: how it went, and why. */
#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/jobs/states.h"
#include "worker/web/cancel.h"
#include "worker/web/follow.h"
#include "worker/web/job_around.h"
#include "worker/web/job_now.h"
#include "worker/web/job_parts.h"
#include "worker/web/job_row.h"
#include "worker/web/page.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include <stdio.h>
#include <string.h>

handler_fn h_page_job;

/* A file of the job, {name, size, date, url}, is added to the list. `behind`: the end of its
 * address; NULL: only agents get it. */
static enum err add_file(struct call *c, struct text id, const char *what, const char *behind,
                         json_t *files)
{
    char name[FILE_NAME_SIZE];
    struct file_info f;

    snprintf(name, sizeof name, "%.*s.%s", (int)id.len, id.s, what);
    enum err e = store_file_open(c->store, (struct text){name, strlen(name)}, &f);
    if (!e)
        json_array_append_new(files,
                              json_pack("{s:s, s:I, s:o, s:o}", "name", what, "bytes",
                                        (json_int_t)f.length, "date", page_time(f.date_ms), "url",
                                        behind ? page_url("/jobs/", id, behind) : json_null()));
    return e == ERR_NOT_FOUND || e == ERR_CONFLICT ? ERR_OK : e;
}

/* Who else it has to do with. */
static json_t *relations(const struct job_parts *p)
{
    struct text parent = json_string_text(json_object_get(p->data, "parent_job_id"));
    const json_t *excluded = json_object_get(p->data, "exclude_agents");
    const json_t *device = json_object_get(p->result, "device_info");
    json_t *names = json_array(), *name;
    size_t i;

    json_array_foreach (excluded, i, name)
        json_array_append_new(names, page_value(name));
    return json_pack("{s:o, s:o, s:o, s:b, s:o, s:o}", "parent",
                     page_short(json_object_get(p->data, "parent_job_id"), CELL_MAX), "parent_url",
                     parent.len ? page_url("/jobs/", parent, "") : json_null(), "excluded", names,
                     "has_excluded", json_array_size(names) > 0, "webhook",
                     page_short(json_object_get(p->data, "job_status_webhook"), CELL_MAX),
                     "address", page_short(json_object_get(device, "device_ip"), CELL_MAX));
}

/* What needs further reads. */
struct more {
    json_t *follow_url, *waiting, *logs, *serial, *definition, *files, *around; /* owned */
};

static enum err read_more(struct call *c, const struct job_parts *p, struct more *m)
{
    enum err e = follow_url(c, p, &m->follow_url);

    m->files = json_array();
    if (!e)
        e = job_waiting(c, p, &m->waiting);
    if (!e)
        e = job_logs(c, p, OUTPUT_OUTPUT, &m->logs);
    if (!e)
        e = job_logs(c, p, OUTPUT_SERIAL, &m->serial);
    if (!e)
        e = job_definition(p, &m->definition);
    if (!e)
        e = add_file(c, p->id, "artifact", "/artifact", m->files);
    if (!e)
        e = add_file(c, p->id, "attachments", NULL, m->files);
    if (!e)
        e = job_around(c, p, &m->around);
    return e;
}

static void reply(struct call *c, const struct job_parts *p, const struct more *m)
{
    json_t *row = job_row(p->row), *phases = job_phases(p), *history = job_history(p);
    const json_t *name = json_object_get(row, "name");

    page_reply(
        c, 200,
        json_pack(
            "{s:O, s:O, s:O, s:o, s:O, s:o, s:o, s:b, s:o, s:b, s:O, s:o, s:b, s:O, s:O, s:b, s:O, "
            "s:b, s:o, s:o, s:o, s:O, s:O}",
            "title", json_string_length(name) ? name : json_object_get(row, "short"), "job", row,
            "outcome", json_object_get(row, "outcome"), "ended",
            page_time_of(json_object_get(p->row, "ended_at")), "waiting", m->waiting, "reservation",
            job_reservation(c, p), "relations", relations(p), "has_phases",
            json_array_size(phases) > 0, "phases", phases, "has_logs", json_array_size(m->logs) > 0,
            "logs", m->logs, "logs_kept", page_span((int64_t)c->cfg->expire_logs), "has_serial",
            json_array_size(m->serial) > 0, "serial", m->serial, "definition", m->definition,
            "has_files", json_array_size(m->files) > 0, "files", m->files, "has_history",
            json_array_size(history) > 0, "history", history, "cancel_url", cancel_url(c, p->row),
            "again_url",
            visitor_may(c, OP_WEB_JOB_NEW) ? page_url("/jobs/new?from=", p->id, "") : json_null(),
            "around", m->around, "follow_url", m->follow_url));
    json_decref(row);
}

void h_page_job(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    struct more m = {NULL};
    struct job_parts p;
    enum err e = job_parts_read(c, id, &p);

    (void)n;
    if (!e)
        e = read_more(c, &p, &m);
    if (e == ERR_NOT_FOUND)
        page_not_found(c, "Job", id);
    else if (e)
        reply_err(c, e);
    else
        reply(c, &p, &m);
    json_decref(m.follow_url);
    json_decref(m.waiting);
    json_decref(m.logs);
    json_decref(m.serial);
    json_decref(m.definition);
    json_decref(m.files);
    json_decref(m.around);
    job_parts_free(&p);
}
