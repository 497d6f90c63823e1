/* What decides about an upload before its body: the handlers of the routes and h_ask.c share it, so
 * that both give the same answer. */
#ifndef WORKER_HANDLERS_UPLOAD_WANTED_H
#define WORKER_HANDLERS_UPLOAD_WANTED_H

#include "worker/request/call.h"

/* Each answers the call and returns false when the upload is refused. */
bool attachments_wanted(struct call *c);
bool artifact_wanted(struct call *c);

/* Answers and returns false unless the path's first parameter is a valid job id. */
bool names_a_job(struct call *c);

#endif
