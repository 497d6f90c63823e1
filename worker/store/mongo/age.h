/* The age of agents and queues: when they were last posted. */
#ifndef WORKER_STORE_MONGO_AGE_H
#define WORKER_STORE_MONGO_AGE_H

#include "worker/store/mongo/mongo.h"

/* Sets updated_at of the documents of these names to now, not durably: the oldest of them had
 * `updated_ms`. Does nothing before that is older than AGE_MS. */
enum err mongo_renew_age(struct mongo *m, const char *collection, const struct text *names,
                         size_t n, int64_t updated_ms) MUST_CHECK;

#endif
