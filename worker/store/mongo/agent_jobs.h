/* The job in an agent's document: set at the claim, cleared when the job ends or waits again. It is
 * for readers only; a failure is logged and changes nothing else. */
#ifndef WORKER_STORE_MONGO_AGENT_JOBS_H
#define WORKER_STORE_MONGO_AGENT_JOBS_H

#include "worker/store/mongo/db.h"

/* Field of an agent: when the job was claimed that it has or had last. A late, repeated claim finds
 * by it that it is no longer the newest. */
#define AGENT_CLAIMED "claimed_at"

/* Appends the update of the agent of a successful claim, which began at started_ms. */
void agent_job_add(struct db_batch *b, const struct claim *c, struct text submitter);

/* Clears the job in the documents of its agents. */
void agent_jobs_end(struct mongo *m, const struct text *job_ids, size_t n);
void agent_job_end(struct mongo *m, struct text job_id);

#endif
