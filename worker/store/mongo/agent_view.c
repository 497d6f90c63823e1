/* What pages show of an agent beside its document: log, provision log, how long it has a job. */
#include "worker/store/mongo/job.h"

#include "common/mem.h"
#include "worker/jobs/lease.h"

#include <stdlib.h>

#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number

enum err mongo_agent_log(struct store *s, struct text name, json_t **ret)
{
    struct db_found f;
    enum err e =
        db_get(mongo_of(s), AGENTS, doc_of("name: ?", v_text(name)), "_id: false, log: true", &f);

    if (e)
        return e;
    json_t *lines = doc_json(&f.doc, "log");
    *ret = lines ? lines : json_array();
    db_end(&f);
    return ERR_OK;
}

enum err mongo_provision_list(struct store *s, struct text agent, json_t **ret)
{
    struct db_found f;
    bson_iter_t log;
    bson_t entry;
    enum err e = DB_FIRST(
        mongo_of(s), &f, .collection = PROVISION_LOGS, .filter = doc_of("name: ?", v_text(agent)),
        .fields = "_id: false, provision_log: {$slice: -" TEXT(PROVISION_LOG_MAX) "}",
        .index = IX_PROVISION_LOG);

    if (e && e != ERR_NOT_FOUND)
        return e;
    *ret = json_array();
    if (!e && doc_list(&f.doc, "provision_log", &log)) {
        while (bson_iter_next(&log)) {
            if (!doc_view(&log, &entry))
                continue;
            json_t *fields = doc_object(&entry), *at = doc_time(&entry, "timestamp");
            json_object_set_new(fields, "timestamp", at ? at : json_null());
            json_object_del(fields, "request");
            json_array_append_new(*ret, fields);
        }
    }
    db_end(&f);
    return ERR_OK;
}

static void take_held(struct job_held *job, const bson_t *doc)
{
    const char *state = doc_str(doc, STATE_PATH);

    job->err = ERR_OK;
    job->lease_ms = doc_date(doc, "lease");
    job->reserved_ms = lease_reserved_ms(state ? state : "", job_reserved_since_ms(doc),
                                         doc_int(doc, RESERVE_PATH, 0));
}

/* One query, whatever their number: `n` is at most that of a page's rows. */
enum err mongo_jobs_held(struct store *s, struct job_held *jobs, size_t n)
{
    struct text *ids = mem_alloc((n + 1) * sizeof *ids);
    struct db_found f;

    for (size_t i = 0; i < n; i++) {
        ids[i] = jobs[i].job_id;
        jobs[i].err = ERR_NOT_FOUND;
    }
    enum err e = DB_FIND(
        mongo_of(s), &f, .collection = JOBS, .filter = doc_of("job_id: {$in: ?}", v_texts(ids, n)),
        .fields = "job_id: true, lease: true, history: true, " STATE_PATH ": true, " RESERVE_PATH
                  ": true",
        .sort = "job_id: 1, created_at: 1", .index = IX_JOB_ID, .limit = 2 * (int)n + 1);
    while (!e && db_next(&f))
        for (size_t i = 0; i < n; i++)
            if (text_equal(ids[i], doc_text(&f.doc, "job_id")))
                take_held(&jobs[i], &f.doc); /* the newest of an id comes last */
    db_end(&f);
    free(ids);
    return e;
}
