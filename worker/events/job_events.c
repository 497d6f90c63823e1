/* What happened to a job: the events that its agent posted, and its changes of state. */
#include "worker/jobs/job_events.h"
#include "worker/http/etag.h"
#include "worker/request/call.h"
#include "worker/store/store.h"
#include "worker/validation/job_id.h"

handler_fn h_events_get;

void h_events_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    struct job_events found;

    (void)n;
    if (!job_id_valid(id.s, id.len)) {
        reply_error(c, 400, INVALID_JOB_ID);
        return;
    }
    enum err e = store_job_events_get(c->store, id, &found);
    if (e == ERR_NOT_FOUND) {
        reply_error(c, 404, "Job not found");
    } else if (e) {
        reply_err(c, e);
    } else {
        reply_json(c, 200,
                   json_pack("{s:o, s:o}", "job_id", json_stringn(id.s, id.len), "events",
                             job_events_merged(found.posted, found.changes)));
        reply_tag(c);
        json_decref(found.posted);
        json_decref(found.changes);
    }
}
