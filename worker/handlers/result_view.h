/* A result as the API shows it. */
#ifndef WORKER_HANDLERS_RESULT_VIEW_H
#define WORKER_HANDLERS_RESULT_VIEW_H

#include "worker/handlers/result_fields.h"

/* The stored result with flat fields by phase, then the rest, as a new reference; `result` is
 * emptied of some. */
json_t *result_shown(const struct call *c, json_t *result);

/* Answers with the fields of a shown result that are asked for, and the job's logs, which win over
 * the flat fields of their phases; takes the reference. Logs that are too large for an answer
 * are cut at the end, which the text and the field `truncated` tell; other fields are left out and
 * named there. 304 where the client has the answer: then
 * no log is read. `look` is of use only where logs are asked for. */
void result_reply(struct call *c, const struct log_look *look, json_t *shown,
                  const struct result_fields *fields);

#endif
