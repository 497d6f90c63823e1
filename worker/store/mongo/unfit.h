/* Jobs that are too large to be handed out, of older releases and of other servers. */
#ifndef WORKER_STORE_MONGO_UNFIT_H
#define WORKER_STORE_MONGO_UNFIT_H

#include "worker/store/mongo/mongo.h"

/* Deals with the first job for the claim, whose document has no room for it: the attempts that were
 * kept go; where there were none, the job is cancelled. Nothing changes where another worker was
 * faster. */
enum err unfit_make_room(struct mongo *m, const struct claim *c) MUST_CHECK;

#endif
