/* Jobs as rows of tables. */
#ifndef WORKER_WEB_JOB_ROW_H
#define WORKER_WEB_JOB_ROW_H

#include "worker/request/call.h"

/* A row of templates/jobs_table.html from a member of store_jobs_list(); a new reference. */
json_t *job_row(const json_t *job);

/* How a job stands, for templates/outcome.html: {word, class, icon, failed, reason}. `status`: of
 * outcome_status(). */
json_t *job_outcome(const json_t *state, const json_t *status, const json_t *reason);

/* What store_jobs_list() has for a filter, newest first, as an array of its members; a new
 * reference. *ret_more: there are others. */
enum err jobs_read(struct store *s, const struct job_filter *filter, int64_t limit, json_t **ret,
                   bool *ret_more) MUST_CHECK;

/* The same of store_queue_next(). */
enum err jobs_read_next(struct store *s, struct text queue, int64_t limit, json_t **ret) MUST_CHECK;

/* {ID: member of store_jobs_show()} for an array of ids; what is no text of an id is left out. A
 * new reference. */
enum err jobs_read_ids(struct store *s, const json_t *ids, json_t **ret) MUST_CHECK;

#endif
