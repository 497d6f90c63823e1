#include "worker/handlers/upload_wanted.h"

#include "worker/validation/job_id.h"

#include <stdio.h>

bool names_a_job(struct call *c)
{
    struct text id = c->request->params[0];

    if (job_id_valid(id.s, id.len))
        return true;
    reply_text(c, 400, INVALID_JOB_ID_TEXT);
    return false;
}

/* Answers the form of a page: in JSON, of which page_end() makes a page. ERR_NOT_FOUND: no such job
 * waits. */
static void refuse_form(struct call *c, enum err e, enum attachments wanted)
{
    struct job_read read = {.job_id = c->request->params[0]};
    bool known = !e || (job_id_valid(read.job_id.s, read.job_id.len) &&
                        !store_jobs_get(c->store, &read, 1) && !read.err);

    if (!known)
        reply_error(c, 404, "Job not found");
    else
        reply_error(c, 409, "%s",
                    e                                ? "The job does not wait any more"
                    : wanted == ATTACHMENTS_COMPLETE ? "The job has its attachments already"
                                                     : "The job waits for no attachments");
    json_decref(read.value);
}

bool attachments_wanted(struct call *c)
{
    struct text id = c->request->params[0];
    enum attachments wanted;
    char text[FILE_NAME_SIZE + 64];

    if (!route_is_web(c->route) && !names_a_job(c))
        return false;
    enum err e =
        job_id_valid(id.s, id.len) ? store_attachments_look(c->store, id, &wanted) : ERR_NOT_FOUND;
    if (e && e != ERR_NOT_FOUND) {
        reply_err(c, e);
        return false;
    }
    if (route_is_web(c->route) && (e || wanted != ATTACHMENTS_AWAITED)) {
        refuse_form(c, e, wanted);
        return false;
    }
    if (e || wanted == ATTACHMENTS_NONE) {
        snprintf(text, sizeof text, "Job %.*s %s\n", (int)id.len, id.s,
                 e ? "is not valid" : "not awaiting attachments");
        reply_text(c, 422, text);
        return false;
    }
    if (wanted == ATTACHMENTS_COMPLETE) {
        reply_text(c, 200, "OK");
        return false;
    }
    return true;
}

bool artifact_wanted(struct call *c)
{
    c->touch = TOUCH_AGENT;
    return names_a_job(c);
}
