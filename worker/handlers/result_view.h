/* A result in the form of the API. */
#ifndef WORKER_HANDLERS_RESULT_VIEW_H
#define WORKER_HANDLERS_RESULT_VIEW_H

#include "worker/handlers/result_fields.h"

/* Renews the lease of a running job, whose agent reads it, unless that is fresh. read->value may be
 * NULL. */
void result_touch(struct call *c, const struct job_read *read);

/* The stored result with flat fields by phase, then the rest; new reference. Moves some fields out
 * of `result`. */
json_t *result_shown(const struct call *c, json_t *result);

/* Answers with the requested fields of `shown` (takes the reference) and the job's logs, which
 * replace the flat fields of their phases. Logs too large for an answer are cut at the end, other
 * fields dropped; `truncated` names both. 304 reads no logs. `look` is used only for logs. */
void result_reply(struct call *c, const struct log_look *look, json_t *shown,
                  const struct result_fields *fields);

#endif
