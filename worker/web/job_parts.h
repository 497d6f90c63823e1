/* What a job's page is made of. */
#ifndef WORKER_WEB_JOB_PARTS_H
#define WORKER_WEB_JOB_PARTS_H

#include "worker/request/call.h"

/* A job as it is stored; job_parts_free(). */
struct job_parts {
    struct text id;
    json_t *row;     /* as store_jobs_show() has it */
    json_t *data;    /* as it was submitted, with what the server added */
    json_t *result;  /* with its texts */
    json_t *changes; /* of its state: struct job_events */
};

/* ERR_NOT_FOUND. Call job_parts_free() in any case. */
enum err job_parts_read(struct call *c, struct text id, struct job_parts *ret) MUST_CHECK;
void job_parts_free(struct job_parts *p);

/* [{name, outcome, class, icon, code, began, took}] of the phases that the job has been in, or has
 * a code of; all are new references. */
json_t *job_phases(const struct job_parts *p);
/* [{state, at, reason}], oldest first. */
json_t *job_history(const struct job_parts *p);
/* The phase whose log is open: the first that failed, else the one that the job is in, else -1. */
int job_open_phase(const struct job_parts *p);
/* {yaml, json, script}: what was submitted, in its order, without what the server added. */
enum err job_definition(const struct job_parts *p, json_t **ret) MUST_CHECK;
/* [{title, anchor, text, is_open, is_cut, has_code, code, url}] of the logs of a type. */
enum err job_logs(struct call *c, const struct job_parts *p, enum output_type type,
                  json_t **ret) MUST_CHECK;

#endif
