/* Results: state and outcome of a job. */
#include "worker/call.h"
#include "worker/jobid.h"
#include "worker/jsonbody.h"
#include "worker/schemas.h"

#include <stdio.h>
#include <string.h>

#define INVALID_JOB_ID "Invalid job_id specified"

static const char *const phases[] = {
#define PHASE(name) name,
#include "worker/phases.def"
#undef PHASE
};

/* Removes job_state from the fields and returns it, NULL when it was not sent. */
static json_t *take_job_state(json_t *fields)
{
    json_t *state = json_incref(json_object_get(fields, "job_state"));

    json_object_del(fields, "job_state");
    return state;
}

void h_result_put(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    json_t *fields = json_body_load(c, &schema_result,
                                    c->cfg->compat == COMPAT_DOCUMENTED ? SCHEMA_KEEP_UNKNOWN : 0);

    (void)n;
    if (!fields)
        return;
    json_t *state = take_job_state(fields);
    struct result_put put = {
        .asked = call_asked(c), .fields = fields, .job_state = json_string_value(state)};
    enum err e = ERR_OK;
    if (state && strlen(put.job_state) != json_string_length(state)) {
        reply_invalid(c, json_pack("{s:[s]}", "job_state", "Not a valid string."));
    } else if (!job_id_valid(id.s, id.len)) {
        reply_error(c, 400, INVALID_JOB_ID);
    } else if ((e = store_result_put(c->store, id, &put)) == ERR_OK || e == ERR_NOT_FOUND) {
        reply_text(c, 200, "OK"); /* agents post results of jobs that have expired */
    } else if (e == ERR_TOO_LARGE) {
        reply_error(c, 413, TOO_LARGE_RESULT);
    } else {
        reply_err(c, e);
    }
    json_decref(state);
    json_decref(fields);
}

/* Moves a field, when it is there. */
static void move(json_t *to, json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);

    if (value) {
        json_object_set(to, name, value);
        json_object_del(from, name);
    }
}

/* The stored result as the API shows it: flat fields by phase, then the rest. */
static json_t *result_shown(const struct call *c, json_t *result)
{
    static const char *const kinds[] = {"status", "output", "serial"};
    json_t *status = json_object_get(result, "status"), *shown = json_object(), *value;
    const char *key;
    char name[64];

    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            snprintf(name, sizeof name, "%s_%s", phases[i], kinds[k]);
            move(shown, result, name);
            if (k == 0 && (value = json_object_get(status, phases[i])))
                json_object_set(shown, name, value);
        }
    move(shown, result, "device_info");
    move(shown, result, "job_state");
    json_object_del(result, "status");
    if (c->cfg->compat == COMPAT_DOCUMENTED)
        json_object_foreach (result, key, value)
            json_object_set(shown, key, value);
    return shown;
}

void h_result_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    json_t *result = NULL;

    (void)n;
    if (!job_id_valid(id.s, id.len)) {
        reply_error(c, 400, INVALID_JOB_ID);
        return;
    }
    enum err e = store_result_get(c->store, id, &result);
    if (e == ERR_NOT_FOUND || (!e && json_object_size(result) == 0))
        reply_none(c);
    else if (e)
        reply_err(c, e);
    else
        reply_json(c, 200, result_shown(c, result));
    json_decref(result);
}
