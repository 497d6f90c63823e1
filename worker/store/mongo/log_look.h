/* Looks at the logs of jobs. */
#ifndef WORKER_STORE_MONGO_LOG_LOOK_H
#define WORKER_STORE_MONGO_LOG_LOOK_H

#include "worker/store/mongo/mongo.h"

/* logs_look of store.def. */
enum err log_look(struct mongo *m, struct log_look *looks, size_t n) MUST_CHECK;

#endif
