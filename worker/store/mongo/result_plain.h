/* Results of jobs in the plain case. */
#ifndef WORKER_STORE_MONGO_RESULT_PLAIN_H
#define WORKER_STORE_MONGO_RESULT_PLAIN_H

#include "worker/store/mongo/mongo.h"

/* Whether a put may be a plain case; whether it is one, the job decides. */
bool result_is_plain(const struct result_put *p);

/* The update of such a put, a pipeline for a filter by the job's identity alone. Changes nothing
 * where the job is no plain case: struct db_done counts it as matched, not as modified. NULL: the
 * fields cannot be BSON. */
bson_t *result_plain(struct mongo *m, const struct result_put *p);

#endif
