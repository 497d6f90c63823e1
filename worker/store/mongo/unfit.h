/* Jobs that are too large to be handed out. */
#ifndef WORKER_STORE_MONGO_UNFIT_H
#define WORKER_STORE_MONGO_UNFIT_H

#include "worker/store/mongo/mongo.h"

/* Deals with a job whose document has no room for a claim: the first in the order of the claim that
 * the filter matches. What was kept of its earlier runs goes; where there was nothing, the job is
 * cancelled. Nothing is changed where another worker was faster. */
enum err unfit_make_room(struct mongo *m, const bson_t *waiting) MUST_CHECK;

#endif
