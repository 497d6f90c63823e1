/* The form of dates in jobs and agents: the one place that decides it, for all endpoints. */
#ifndef WORKER_HTTP_DATES_H
#define WORKER_HTTP_DATES_H

#include "worker/request/call.h"

/* The form that the request asks for (query `dates`; ignored with --compat reference), else that of
 * the settings. False: answered with 422. */
bool dates_of(struct call *c, enum dates *ret);

/* Turns the milliseconds since the epoch under `key` into a date. What is no integer stays. */
void date_show(enum dates form, json_t *object, const char *key);

/* The same for created_at of a job, as the `show` of a listing whose `arg` is an enum dates *. */
json_t *date_show_created(void *form, json_t *job);

#endif
