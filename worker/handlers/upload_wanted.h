/* Checks of an upload that need no body, shared by the routes' handlers and h_ask: both must answer
 * alike. */
#ifndef WORKER_HANDLERS_UPLOAD_WANTED_H
#define WORKER_HANDLERS_UPLOAD_WANTED_H

#include "worker/request/call.h"

/* Return false and answer the call when the upload is refused. */
bool attachments_wanted(struct call *c);
bool artifact_wanted(struct call *c);

/* Returns false and answers unless the path's first parameter is a valid job id. */
bool names_a_job(struct call *c);

#endif
