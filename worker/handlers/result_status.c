/* What the newest agents and command line poll: exit codes and state of a job, without logs. */
#include "common/bus.h"
#include "worker/handlers/job_reads.h"
#include "worker/handlers/result_view.h"
#include "worker/http/etag.h"

handler_fn h_result_status;

/* The status fields of a shown result, as a new reference. */
static json_t *status_of(const json_t *shown)
{
    json_t *status = json_object(), *value;
    char name[RESULT_NAME_SIZE];

    for (int i = 0; i < PHASE_COUNT; i++) {
        result_status_name(i, name);
        if ((value = json_object_get(shown, name)))
            json_object_set(status, name, value);
    }
    if ((value = json_object_get(shown, "job_state")))
        json_object_set(status, "job_state", value);
    return status;
}

static void reply_status(struct call *c, enum err e, const struct job_read *read)
{
    if (e && e != ERR_NOT_FOUND) {
        reply_err(c, e);
        return;
    }
    result_touch(c, read);
    json_t *shown = result_shown(c, read->value), *status = status_of(shown);
    if (json_object_size(status)) {
        reply_json(c, 200, json_incref(status));
        reply_tag(c);
    } else {
        reply_none(c);
    }
    json_decref(status);
    json_decref(shown);
    json_decref(read->value);
}

void h_result_status(struct call *calls[], size_t n)
{
    struct call *reading[BUS_BUNDLE_MAX];
    struct job_read reads[BUS_BUNDLE_MAX];
    size_t len = job_reads_load(calls, n, reading, reads);

    for (size_t i = 0; i < len; i++)
        reads[i].part = RESULT_FIELDS;
    enum err all = len ? store_results_get(calls[0]->store, reads, len) : ERR_OK;
    for (size_t i = 0; i < len; i++)
        reply_status(reading[i], all ? all : reads[i].err, &reads[i]);
}
