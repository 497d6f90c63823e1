/* The document of a job. */
#ifndef WORKER_STORE_MONGO_JOB_H
#define WORKER_STORE_MONGO_JOB_H

#include "worker/store_mongo/mongo.h"

/* Makes the document of a job that waits. ERR_TOO_LARGE; ERR_INTERNAL (logged) when its data cannot
 * be BSON. `doc` is initialised by the caller, who destroys it in any case. */
enum err job_document(bson_t *doc, const bson_oid_t *id, const struct job_new *job) MUST_CHECK;

/* Stores a job whose id the client chose: a new one, or another attempt (see struct job_new). */
enum err job_put_given(struct mongo *m, const struct job_new *job) MUST_CHECK;

#endif
