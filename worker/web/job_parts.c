#include "worker/web/job_parts.h"

#include "worker/encoding/json_string.h"
#include "worker/jobs/outcome.h"
#include "worker/jobs/states.h"
#include "worker/validation/job_id.h"
#include "worker/web/job_row.h"
#include "worker/web/log_tail.h"
#include "worker/web/values.h"
#include "worker/web/yaml_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_TAIL   ((size_t)64 * 1024) /* bytes shown of the log that is open, of the others */
#define OTHER_TAIL  ((size_t)16 * 1024)
#define SERIAL_TAIL ((size_t)8 * 1024)
#define YAML_MAX    ((size_t)1024 * 1024) /* a larger definition is not shown */

/* ---- reading ---- */

enum err job_parts_read(struct call *c, struct text id, struct job_parts *ret)
{
    struct job_read data = {.job_id = id}, result = {.job_id = id, .part = RESULT_ALL};
    struct job_events events = {NULL, NULL};
    json_t *ids = json_pack("[o]", page_text(id)), *rows = NULL;

    *ret = (struct job_parts){.id = id};
    enum err e = job_id_valid(id.s, id.len) ? jobs_read_ids(c->store, ids, &rows) : ERR_NOT_FOUND;
    if (!e && !(ret->row = json_incref(json_object_getn(rows, id.s, id.len))))
        e = ERR_NOT_FOUND;
    if (!e && !(e = store_jobs_get(c->store, &data, 1)) && !(e = data.err))
        ret->data = data.value;
    if (!e && !(e = store_results_get(c->store, &result, 1)) && !(e = result.err))
        ret->result = result.value;
    if (!e && !(e = store_job_events_get(c->store, id, &events))) {
        ret->changes = events.changes;
        json_decref(events.posted);
    }
    json_decref(ids);
    json_decref(rows);
    return e;
}

void job_parts_free(struct job_parts *p)
{
    json_decref(p->row);
    json_decref(p->data);
    json_decref(p->result);
    json_decref(p->changes);
}

/* ---- phases and history ---- */

static const json_t *code_of(const struct job_parts *p, int phase)
{
    return json_object_get(json_object_get(p->row, "status"), phase_names[phase]);
}

/* When the job came into a state last, and how long it was in it; began 0: never. */
static void times_of(const struct job_parts *p, const char *state, int64_t *ret_began,
                     int64_t *ret_took)
{
    json_t *change;
    size_t i;

    *ret_began = 0;
    *ret_took = -1;
    json_array_foreach (p->changes, i, change) {
        struct text name = json_string_text(json_object_get(change, "state"));
        int64_t at = json_integer_value(json_object_get(change, "at"));
        if (name.s && text_is(name, state)) {
            *ret_began = at;
            *ret_took = -1;
        } else if (*ret_began && *ret_took < 0) {
            *ret_took = at - *ret_began;
        }
    }
}

static json_t *phase_line(const struct job_parts *p, int i)
{
    const json_t *code = code_of(p, i);
    bool failed = code && json_integer_value(code) != 0;
    int64_t began, took;

    times_of(p, phase_names[i], &began, &took);
    if (!code && !began)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "name", phase_names[i], "word",
                     failed                               ? "failed"
                     : code                               ? "passed"
                     : took < 0 && job_open_phase(p) == i ? "in progress"
                                                          : "ended",
                     "class",
                     failed ? "bad"
                     : code ? "good"
                            : "busy",
                     "icon",
                     failed ? "✘"
                     : code ? "✔"
                            : "▶",
                     "code", page_value(code), "began", page_time(began), "took",
                     took < 0 ? json_null() : page_span(took / 1000));
}

json_t *job_phases(const struct job_parts *p)
{
    json_t *all = json_array(), *line;

    for (int i = 0; i < PHASE_COUNT; i++)
        if ((line = phase_line(p, i)))
            json_array_append_new(all, line);
    return all;
}

json_t *job_history(const struct job_parts *p)
{
    json_t *all = json_array(), *change;
    size_t i;

    json_array_foreach (p->changes, i, change)
        json_array_append_new(all, json_pack("{s:o, s:o, s:o}", "state",
                                             page_value(json_object_get(change, "state")), "at",
                                             page_time_of(json_object_get(change, "at")), "reason",
                                             page_value(json_object_get(change, "reason"))));
    return all;
}

int job_open_phase(const struct job_parts *p)
{
    const char *phase;
    int64_t code;

    if (outcome_failed(json_object_get(p->row, "status"), &phase, &code))
        return phase_of((struct text){phase, strlen(phase)});
    struct text state = json_string_text(json_object_get(p->row, "job_state"));
    return state.s ? phase_of(state) : -1;
}

/* ---- definition ---- */

/* What the server added to a job, or shows apart. */
static const char *const added[] = {"job_id",    "parent_job_id", "attachments_status",
                                    "client_id", "started_at",    "created_at",
                                    "job_state"};

enum err job_definition(const struct job_parts *p, json_t **ret)
{
    json_t *data = json_copy(p->data);
    const json_t *script = json_object_get(json_object_get(data, "test_data"), "test_cmds");
    struct buf yaml = BUF_INIT(YAML_MAX);

    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        json_object_del(data, added[i]);
    if (json_array_size(json_object_get(data, "exclude_agents")) == 0)
        json_object_del(data, "exclude_agents");
    enum err e = yaml_write(data, &yaml);
    bool large = e == ERR_TOO_LARGE;
    char *json = e ? NULL : json_dumps(data, JSON_INDENT(2));
    struct text none = {NULL, 0}, text = {yaml.data, yaml.len};
    if (!e || large)
        *ret = json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "is_large", large, "url",
                         page_url("/v1/job/", p->id, ""), "yaml", page_text(large ? none : text),
                         "json", json ? json_string(json) : json_null(), "script",
                         json_is_string(script) && !large ? page_value(script) : json_null(),
                         "provision",
                         large ? json_null() : page_value(json_object_get(data, "provision_data")));
    free(json);
    buf_free(&yaml);
    json_decref(data);
    return large ? ERR_OK : e;
}

/* ---- logs ---- */

/* The last phase that has a log; -1: none. */
static int last_of(const struct log_tail tails[PHASE_COUNT])
{
    int last = -1;

    for (int i = 0; i < PHASE_COUNT; i++)
        last = tails[i].is_there ? i : last;
    return last;
}

static json_t *log_part(const struct job_parts *p, enum output_type type, int phase, bool open,
                        const struct log_tail *t)
{
    static const char *const titles[] = {"", " (serial)"};
    const json_t *code = type == OUTPUT_OUTPUT ? code_of(p, phase) : NULL;
    struct text state = json_string_text(json_object_get(p->row, "job_state"));
    bool is_over = state.s && state_is_over(state.s);
    bool is_end = !is_over || (code && json_integer_value(code) != 0);
    char behind[64];
    struct text text = {t->text.data ? t->text.data : "", t->text.len};

    snprintf(behind, sizeof behind, "/log/%s?phase=%s", output_type_names[type],
             phase_names[phase]);
    return json_pack("{s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:b, s:b, s:b, s:o, s:o}", "phase",
                     phase_names[phase], "kind", titles[type], "anchor",
                     json_sprintf("log-%s-%s", output_type_names[type], phase_names[phase]), "text",
                     page_text(text), "has_text", text.len > 0, "is_open", open, "is_cut", t->cut,
                     "is_end", is_end, "grows", !is_over, "has_code", code != NULL, "code",
                     page_value(code), "url", page_url("/jobs/", p->id, behind));
}

enum err job_logs(struct call *c, const struct job_parts *p, enum output_type type, json_t **ret)
{
    struct log_tail tails[PHASE_COUNT];
    size_t max[PHASE_COUNT];
    int open = type == OUTPUT_OUTPUT ? job_open_phase(p) : -1;

    for (int i = 0; i < PHASE_COUNT; i++)
        max[i] = type == OUTPUT_SERIAL   ? SERIAL_TAIL
                 : i == open || open < 0 ? OPEN_TAIL
                                         : OTHER_TAIL;
    enum err e = log_tails_read(c, p->id, type, p->result, max, tails);
    if (type == OUTPUT_OUTPUT && (open < 0 || !tails[open].is_there))
        open = last_of(tails);
    if (!e) {
        *ret = json_array();
        for (int i = 0; i < PHASE_COUNT; i++)
            if (tails[i].is_there)
                json_array_append_new(*ret, log_part(p, type, i, i == open, &tails[i]));
    }
    log_tails_free(tails);
    return e;
}
