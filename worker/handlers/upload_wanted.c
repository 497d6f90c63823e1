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

bool attachments_wanted(struct call *c)
{
    struct text id = c->request->params[0];
    enum attachments wanted;
    char text[FILE_NAME_SIZE + 64];

    if (!names_a_job(c))
        return false;
    enum err e = store_attachments_look(c->store, id, &wanted);
    if (e && e != ERR_NOT_FOUND) {
        reply_err(c, e);
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
