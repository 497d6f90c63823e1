#include "worker/store/mongo/agent_jobs.h"

#include "common/log.h"

/* Workers know the database's clock as well as they measured it: the claim before may seem to be
 * the later one, by half a trip to a busy database. An agent does not ask twice in less. */
#define SKEW_MS 1000

void agent_job_add(struct db_batch *b, const struct claim *c, struct text submitter)
{
    int64_t newer_ms = c->started_ms + (c->asked.repeat ? 0 : SKEW_MS);

    DB_ADD_UPDATE(b,
                  .filter = doc_of("name: ?, " AGENT_CLAIMED ": {$not: {$gte: ?}}",
                                   v_text(c->agent), v_date(newer_ms)),
                  .update = doc_of("$set: {job_id: ?, submitted_by: ?, " AGENT_CLAIMED ": ?}, ?",
                                   v_str(c->job_id), v_given(submitter), v_date(c->started_ms),
                                   submitter.s ? v_own(bson_new())
                                               : v_own(doc_of("$unset: {submitted_by: true}"))));
}

void agent_jobs_end(struct mongo *m, const struct text *job_ids, size_t n)
{
    struct db_batch b = DB_BATCH(AGENTS);

    if (!n)
        return;
    b.light = true;
    DB_ADD_UPDATE(&b, .filter = doc_of("job_id: {$in: ?}", v_texts(job_ids, n)),
                  .update = doc_of("$set: {job_id: ''}, $unset: {submitted_by: true}"),
                  .index = IX_AGENT_JOB, .all = true);
    if (db_run(m, &b, NULL))
        log_warn("agents are still shown with jobs that have ended, until their next jobs; see the "
                 "message before");
}

void agent_job_end(struct mongo *m, struct text job_id)
{
    agent_jobs_end(m, &job_id, 1);
}
