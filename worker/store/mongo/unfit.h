/* Jobs that are too large to be handed out, of older releases and other servers. */
#ifndef WORKER_STORE_MONGO_UNFIT_H
#define WORKER_STORE_MONGO_UNFIT_H

#include "worker/store/mongo/mongo.h"

/* Handles the first job for the claim if its document has no room for it: drops its attempts, or
 * without any cancels the job. No change if another worker was faster. */
enum err unfit_make_room(struct mongo *m, const struct claim *c) MUST_CHECK;

#endif
