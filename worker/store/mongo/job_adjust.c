/* Changes of jobs that wait or are reserved. */
#include "worker/store/mongo/job.h"

#include "common/clock.h"
#include "worker/jobs/lease.h"
#include "worker/store/mongo/once.h"

/* Limit of tries when a job changes between read and write. */
#define TRIES_MAX 8

int64_t job_reserved_since_ms(const bson_t *job)
{
    bson_iter_t history;
    bson_t entry;
    int64_t since_ms = 0;

    if (!doc_list(job, "history", &history))
        return 0;
    while (bson_iter_next(&history) && doc_view(&history, &entry))
        if (doc_text_is(&entry, "state", "reserve"))
            since_ms = doc_date(&entry, "at");
    return since_ms;
}

/* Updates the job if its state and timeout are as read, else ERR_CONFLICT. Takes the update. */
static enum err change(struct mongo *m, const bson_t *job, bson_t *update)
{
    struct db_done done;
    bson_iter_t it;
    enum err e = DB_UPDATE(m, JOBS, &done,
                           .filter = doc_of("_id: ?, " STATE_PATH ": ?, " RESERVE_PATH ": ?",
                                            v_field(job, "_id"), v_field(job, STATE_PATH),
                                            doc_at(job, RESERVE_PATH, &it)
                                                ? v_field(job, RESERVE_PATH)
                                                : v_own(doc_of("$exists: false"))),
                           .update = update, .index = IX_ID);

    return e || done.matched ? e : ERR_CONFLICT;
}

static enum err extend(struct mongo *m, const bson_t *job, const struct job_adjust *a)
{
    char until[CLOCK_TEXT_SIZE];
    int64_t timeout_s = doc_int(job, RESERVE_PATH, 0), since_ms = job_reserved_since_ms(job);

    timeout_s = (timeout_s > 0 ? timeout_s : RESERVE_DEFAULT) + a->seconds;
    if (timeout_s > a->max_s)
        return ERR_FULL;
    clock_rfc3339((since_ms ? since_ms : mongo_now_ms(m)) + timeout_s * 1000, until);
    return change(
        m, job,
        doc_of("[{$set: {" RESERVE_PATH ": ?, result_data." RESERVED_UNTIL ": ?, requests: ?}}]",
               v_int(timeout_s), v_str(until), v_own(once_requests(a->asked.request_id))));
}

/* One read and write. *ret_again: the job changed in between. */
static enum err adjust_once(struct mongo *m, const struct job_adjust *a, bool *ret_again)
{
    struct db_found f;
    enum err e =
        job_find(m, a->job_id,
                 "requests: true, history: true, " STATE_PATH ": true, " RESERVE_PATH ": true", &f);

    *ret_again = false;
    if (e)
        return e;
    if (!once_knows(&f.doc, a->asked.request_id)) {
        if (!doc_text_is(&f.doc, STATE_PATH, a->extends ? "reserve" : "waiting")) {
            e = ERR_CONFLICT;
        } else {
            e = a->extends ? extend(m, &f.doc, a)
                           : change(m, &f.doc,
                                    doc_of("[{$set: {job_priority: ?, job_data.job_priority: ?, "
                                           "requests: ?}}]",
                                           v_int(a->priority), v_int(a->priority),
                                           v_own(once_requests(a->asked.request_id))));
            *ret_again = e == ERR_CONFLICT;
        }
    }
    db_end(&f);
    return e;
}

enum err mongo_job_adjust(struct store *s, const struct job_adjust *a)
{
    enum err e = ERR_CONFLICT;
    bool again = true;

    for (int i = 0; again && i < TRIES_MAX; i++)
        e = adjust_once(mongo_of(s), a, &again);
    return again ? ERR_UNAVAILABLE : e;
}
