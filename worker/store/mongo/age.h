/* The age of agents and queues: when they were last posted. */
#ifndef WORKER_STORE_MONGO_AGE_H
#define WORKER_STORE_MONGO_AGE_H

#include "worker/store/mongo/mongo.h"

#include <stdlib.h>

/* Whether an updated_at is so old that it is to be renewed. */
static inline bool mongo_is_aged(struct mongo *m, int64_t updated_ms)
{
    return llabs(mongo_now_ms(m) - updated_ms) >= AGE_MS;
}

/* Sets updated_at of the documents of these names to now, not durably. */
enum err mongo_renew_age(struct mongo *m, const char *collection, const struct text *names,
                         size_t n) MUST_CHECK;

#endif
