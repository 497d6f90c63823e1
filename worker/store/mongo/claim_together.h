/* Several claims of the same queues, served by two trips for all. */
#ifndef WORKER_STORE_MONGO_CLAIM_TOGETHER_H
#define WORKER_STORE_MONGO_CLAIM_TOGETHER_H

#include "worker/store/mongo/wish.h"

/* Limit of claims served together. */
#define CLAIMS_MAX 32

/* A claim that took this long may have looked through many jobs. */
#define CLAIM_SLOW_MS 50

/* Gives jobs to the claims of a group, those without one have ERR_NOT_FOUND then. *more: there are
 * jobs for these. */
enum err claim_together(struct mongo *m, struct wish *group[], size_t n, bool *more) MUST_CHECK;

#endif
