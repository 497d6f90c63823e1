/* The first jobs of a queue, and which of them a claim may have. */
#ifndef WORKER_STORE_MONGO_HEADS_H
#define WORKER_STORE_MONGO_HEADS_H

#include "worker/store/mongo/db.h"

/* Parts of a filter: the jobs of this state in the claim's queues; those that may be handed out,
 * and if given to this agent. Only the first is a range of an index. */
bson_t *heads_of_state(const struct claim *c, const char *state);
bson_t *heads_fitting(const struct claim *c);

/* Whether the first jobs of these queues lately excluded some agent many times. Then claims use
 * heads_find: one findAndModify would look through all of them. */
bool heads_are_many(const struct mongo *m, const struct claim *c);

/* Call it after a claim that took long: checks whether many such jobs were the reason, not a busy
 * server. */
void heads_check(struct mongo *m, const struct claim *c);

/* Finds the first job that the agent may have, in a bounded look (jobs/looks.h): *ret is {_id} of
 * it, owned by the caller. ERR_NOT_FOUND. */
enum err heads_find(struct mongo *m, const struct claim *c, bson_t **ret) MUST_CHECK;

#endif
