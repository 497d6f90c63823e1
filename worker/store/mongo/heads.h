/* The jobs in front of their queue: which of them a claim may have. */
#ifndef WORKER_STORE_MONGO_HEADS_H
#define WORKER_STORE_MONGO_HEADS_H

#include "worker/store/mongo/db.h"

/* Parts of a filter: the jobs of this state in the claim's queues; those that may be handed out,
 * and to this agent, where it is told. Only the first is a range of an index. */
bson_t *heads_of_state(const struct claim *c, const char *state);
bson_t *heads_fitting(const struct claim *c);

/* Whether many jobs in front of these queues were not for some agent lately. Then claims go by
 * heads_find: one findAndModify would look through all of them. */
bool heads_are_many(const struct mongo *m, const struct claim *c);

/* After a claim that took long: looks whether many such jobs were the reason, or a busy server. */
void heads_check(struct mongo *m, const struct claim *c);

/* Finds the first job that the agent may have, in a bounded look (jobs/looks.h): *ret is {_id} of
 * it, the caller's. ERR_NOT_FOUND. */
enum err heads_find(struct mongo *m, const struct claim *c, bson_t **ret) MUST_CHECK;

#endif
