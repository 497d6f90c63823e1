/* A result as the API shows it. */
#ifndef WORKER_RESULT_H
#define WORKER_RESULT_H

#include "worker/call.h"

/* The stored result with flat fields by phase, then the rest, as a new reference; `result` is
 * emptied of some. */
json_t *result_shown(const struct call *c, json_t *result);

/* Answers with a shown result and the job's logs, which win over the flat fields of their phases;
 * takes the reference. What is too large for an answer is cut at the end, which the text and the
 * field `truncated` tell. */
void result_reply(struct call *c, const struct log_look *look, json_t *shown);

#endif
