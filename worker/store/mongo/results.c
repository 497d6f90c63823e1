/* Results and states of jobs. Updates are pipelines: they decide on the job's state within the one
 * command, so that the filter is the _id alone (which needs no planner), and never go on to an
 * older document of the same job id. */
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/job.h"

#include "common/mem.h"
#include "worker/jobs/states.h"
#include "worker/store/mongo/oid.h"
#include "worker/store/mongo/once.h"
#include "worker/store/mongo/result_plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- parts of updates ---- */

/* {$cond: [the state is one of the list, then, otherwise]} */
static struct doc_value when_state(const char *const *list, struct doc_value then,
                                   struct doc_value otherwise)
{
    return v_own(doc_of("$cond: [{$in: ['$" STATE_PATH "', {$literal: ?}]}, ?, ?]",
                        v_strs(list, SIZE_MAX), then, otherwise));
}

/* The later one of the present lease and this one. */
static struct doc_value longer_lease(int64_t lease_ms)
{
    return v_own(doc_of("$max: ['$lease', ?]", v_date(lease_ms)));
}

/* The lease after a change to `next`, which does not replace the states of `unless`; 0: unchanged.
 * Only another state makes it shorter. */
static struct doc_value next_lease(const char *next, const char *const *unless, int64_t lease_ms)
{
    const char *const same[] = {next, NULL};
    struct doc_value stays = v_str("$lease");

    if (state_is_over(next)) /* the job was or is finished */
        return v_str("$$REMOVE");
    if (strcmp(next, "waiting") == 0)
        return when_state(unless, stays, v_str("$$REMOVE"));
    if (!lease_ms)
        return v_none();
    return when_state(unless, stays, when_state(same, longer_lease(lease_ms), v_date(lease_ms)));
}

/* Appends the fields that change with the state to a $set stage. */
static void add_state(struct mongo *m, bson_t *fields, const struct result_put *p)
{
    const char *next = p->job_state, *unless[STATES_MAX + 1], *or_same[STATES_MAX + 2];
    size_t n = states_not_replaced_by(next, unless);

    memcpy(or_same, unless, n * sizeof *unless);
    or_same[n] = next;
    or_same[n + 1] = NULL;
    doc_add(fields, STATE_PATH ": ?, history: ?, lease: ?",
            when_state(unless, v_str("$" STATE_PATH), v_own(doc_of("$literal: ?", v_str(next)))),
            when_state(or_same, v_str("$history"), v_own(job_history_more(m, next, NULL))),
            next_lease(next, unless, p->lease_ms));
    if (state_is_complete(next) && !json_object_get(p->fields, END_REASON))
        doc_add(fields, "result_data." END_REASON ": '$$REMOVE'");
}

static bool is_path(const char *name)
{
    return *name && *name != '$' && !strchr(name, '.');
}

/* The path of a field, owned by the caller. */
static char *path_of(const char *before, const char *name)
{
    size_t size = strlen(before) + strlen(name) + 1;
    char *path = mem_alloc(size);

    snprintf(path, size, "%s%s", before, name);
    return path;
}

/* Appends the fields of a put: those whose names are paths to `fields`, others to `odd`. False:
 * they cannot be BSON. */
static bool add_fields(bson_t *fields, bson_t *odd, const json_t *sent)
{
    const char *name;
    json_t *value;
    bool ok = true;

    json_object_foreach ((json_t *)(uintptr_t)sent, name, value) {
        char *path = path_of("result_data.", name);
        ok = ok && (is_path(name) ? doc_add(fields, "?: {$literal: ?}", v_str(path), v_json(value))
                                  : doc_put(odd, name, v_json(value)));
        free(path);
    }
    return ok;
}

/* ---- updates ---- */

/* Excludes a job that was taken from this agent as lost and that another one has: lease_lost_by()
 * as a filter. */
static struct doc_value not_lost_by(struct text agent)
{
    if (!agent.s)
        return v_none();
    return v_own(doc_of("$or: [{claim.reruns: null}, {claim.owner: null}, {claim.owner: ?}]",
                        v_text(agent)));
}

enum how {
    FORGET = 1, /* removes the job's old attempts: they must not keep it from a state */
    FOREIGN = 2 /* of another server: has any _id */
};

static bson_t *job_filter(struct text job_id, unsigned how)
{
    bson_oid_t id;

    oid_of_text(job_id, &id);
    return how & FOREIGN ? doc_of("job_id: ?", v_text(job_id)) : doc_of("_id: ?", v_oid(&id));
}

static void add_plain(struct mongo *m, struct db_batch *b, const struct result_put *p, unsigned how)
{
    DB_ADD_UPDATE(b, .filter = job_filter(p->job_id, how), .update = result_plain(m, p),
                  .index = how & FOREIGN ? IX_JOB_ID : IX_NONE);
}

/* Appends the update of a put, any one, to a batch. The agent reports, so its claim has arrived. */
static void add_put(struct mongo *m, struct db_batch *b, const struct result_put *p, unsigned how)
{
    bson_t *fields = bson_new(), *odd = bson_new();
    struct db_change change = {.filter = job_filter(p->job_id, how),
                               .index = how & FOREIGN ? IX_JOB_ID : IX_NONE};

    if (p->job_state)
        add_state(m, fields, p);
    else if (p->lease_ms)
        doc_add(fields, "lease: ?",
                when_state(states_not_leased(), v_str("$lease"), longer_lease(p->lease_ms)));
    doc_add(fields, "requests: ?", v_own(once_requests(p->asked.request_id)));
    bool ok = add_fields(fields, odd, p->fields);
    doc_add(change.filter, "requests: {$ne: ?}, ?", v_str(p->asked.request_id),
            not_lost_by(p->agent));
    if (ok)
        change.update = doc_of(
            "[?, ?, ?, ?, ?]", v_own(doc_of("$set: ?", v_doc(fields))),
            bson_empty(odd) ? v_none()
                            : v_own(doc_of("$set: {result_data: {$mergeObjects: ['$result_data', "
                                           "{$literal: ?}]}}",
                                           v_doc(odd))),
            v_own(doc_of("$unset: 'claim.open'")),
            how & FORGET ? v_own(doc_of("$unset: 'attempts'")) : v_none(),
            p->max && json_object_size(p->fields) ? v_own(job_size_check((int64_t)p->max))
                                                  : v_none());
    db_add_update(b, &change);
    bson_destroy(fields);
    bson_destroy(odd);
}

/* Our document, then that of another server, each first with and then without the job's old
 * attempts, which may leave no room. */
static const unsigned cares[] = {0, FORGET, FOREIGN, FOREIGN | FORGET};
#define CARES (sizeof cares / sizeof *cares)

/* Tries each of these. ERR_NOT_FOUND. */
static enum err put_with_care(struct mongo *m, const struct result_put *p)
{
    struct db_done done = {0};
    enum err e = ERR_OK;

    for (size_t i = 0; i < CARES; i++) {
        struct db_batch b = DB_BATCH(JOBS);
        if (cares[i] & FORGET ? e != ERR_TOO_LARGE : e != ERR_OK)
            continue;
        add_put(m, &b, p, cares[i]);
        e = db_run(m, &b, &done);
        if (e || !done.matched)
            continue;
        if (cares[i] & FOREIGN)
            job_foreign_note(m, p->job_id);
        return ERR_OK;
    }
    return e ? e : ERR_NOT_FOUND;
}

/* ---- results that come late ---- */

/* The newest attempt that this agent had, or of which nobody knows whose it was: a view of it.
 * ERR_NOT_FOUND. */
static enum err attempt_of(const bson_t *job, struct text agent, bson_t *ret)
{
    bson_iter_t attempts;
    enum err e = ERR_NOT_FOUND;
    bson_t one;

    if (!doc_list(job, "attempts", &attempts))
        return e;
    while (bson_iter_next(&attempts) && doc_view(&attempts, &one)) {
        struct text owner = doc_text(&one, "owner");
        if ((!owner.s || text_equal(owner, agent)) && doc_view(&attempts, ret))
            e = ERR_OK;
    }
    return e;
}

/* The fields of a put and its state, where that may follow, as members of the attempt that the
 * filter finds. Names that are no paths are left out. NULL: they cannot be BSON. */
static bson_t *late_fields(const struct result_put *p, const bson_t *attempt)
{
    const char *name, *state = doc_str(attempt, STATE_PATH);
    bson_t *set = bson_new();
    json_t *value;
    bool ok = true;

    json_object_foreach (p->fields, name, value) {
        char *at = path_of("attempts.$.result_data.", name);
        ok = ok && (!is_path(name) || doc_put(set, at, v_json(value)));
        free(at);
    }
    if (p->job_state && state_may_follow(state ? state : "", p->job_state))
        doc_put(set, "attempts.$." STATE_PATH, v_str(p->job_state));
    if (ok)
        return set;
    bson_destroy(set);
    return NULL;
}

/* Puts into the attempt what comes from the agent that had the job then, unless it is a repeat. The
 * attempt is found by what it holds, not by its place: a resubmission moves the places.
 * ERR_NOT_FOUND: no such job, or nobody knows which agent posts. */
static enum err put_late(struct mongo *m, const struct result_put *p)
{
    struct db_found f;
    struct db_done done = {0};
    bson_t attempt;
    enum err e = job_find(m, p->job_id,
                          "requests: true, attempts.owner: true, attempts.created_at: true, "
                          "attempts.started_at: true, attempts." STATE_PATH ": true",
                          &f);

    if (e)
        return e;
    bool known = once_knows(&f.doc, p->asked.request_id);
    if (known || !p->agent.s) {
        db_end(&f);
        return known ? ERR_OK : ERR_NOT_FOUND;
    }
    e = attempt_of(&f.doc, p->agent, &attempt);
    bson_t *set = e ? NULL : late_fields(p, &attempt);
    if (!e && (!set || !bson_empty(set))) {
        int64_t max = set ? (int64_t)p->max - (int64_t)set->len : 0;
        e = DB_UPDATE(
            m, JOBS, &done,
            .filter =
                doc_of("_id: ?, attempts: {$elemMatch: {created_at: ?, started_at: ?, owner: "
                       "?}}, $expr: ?",
                       v_field(&f.doc, "_id"), v_field(&attempt, "created_at"),
                       v_field(&attempt, "started_at"), v_field(&attempt, "owner"),
                       p->max ? v_own(doc_of("$lte: [{$bsonSize: '$$ROOT'}, ?]", v_int64(max)))
                              : v_none()),
            .update = set ? doc_of("$set: ?, $push: {requests: {$each: [?], $position: 0, "
                                   "$slice: ?}}",
                                   v_doc(set), v_str(p->asked.request_id), v_int(REQUESTS_MAX))
                          : NULL,
            .index = IX_ID);
        if (!e && !done.matched)
            e = ERR_TOO_LARGE;
    }
    if (set)
        bson_destroy(set);
    db_end(&f);
    return e == ERR_NOT_FOUND ? ERR_OK : e; /* no attempt of this agent was kept */
}

/* ---- results ---- */

static bool is_empty(const struct result_put *p)
{
    return json_object_size(p->fields) == 0 && !p->job_state;
}

static enum err put_one(struct mongo *m, const struct result_put *p)
{
    struct db_found f;
    enum err e;

    if (is_empty(p)) {
        e = job_find(m, p->job_id, "_id: true", &f);
        db_end(&f);
        return e;
    }
    e = put_with_care(m, p);
    return e == ERR_NOT_FOUND ? put_late(m, p) : e;
}

/* Clears the jobs that have ended in the documents of their agents. */
static void end_jobs(struct mongo *m, const struct result_put *puts, size_t n)
{
    struct text *over = mem_alloc(n * sizeof *over);
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (!puts[i].err && puts[i].job_state && state_is_over(puts[i].job_state))
            over[len++] = puts[i].job_id;
    agent_jobs_end(m, over, len);
    free(over);
}

/* All puts in one command, the plain ones as such if `plain`. One that went in before changes
 * nothing. */
static enum err put_all(struct mongo *m, const struct result_put *puts, size_t n, bool plain,
                        struct db_done *done)
{
    struct db_batch b = DB_BATCH(JOBS);

    b.last = true;
    for (size_t i = 0; i < n; i++) {
        unsigned how = job_is_foreign(m, puts[i].job_id) ? FOREIGN : 0;
        if (!is_empty(&puts[i]))
            (plain && result_is_plain(&puts[i]) ? add_plain : add_put)(m, &b, &puts[i], how);
    }
    return db_run(m, &b, done);
}

/* Jobs that are no plain cases take a second command. What that does not settle is put alone: one
 * that went in is known then. */
enum err mongo_results_put(struct store *s, struct result_put *puts, size_t n)
{
    struct mongo *m = mongo_of(s);
    struct db_done done, rest = {0};
    size_t sent = 0;

    for (size_t i = 0; i < n; i++)
        sent += !is_empty(&puts[i]);
    enum err e = put_all(m, puts, n, true, &done);
    if (!e && (size_t)done.matched == sent && (size_t)done.modified < sent)
        e = put_all(m, puts, n, false, &rest);
    bool again = e == ERR_TOO_LARGE || e == ERR_INTERNAL ||
                 (!e && (size_t)(done.modified + rest.modified) < sent);
    for (size_t i = 0; i < n; i++)
        puts[i].err = again || (!e && is_empty(&puts[i])) ? put_one(m, &puts[i]) : e;
    end_jobs(m, puts, n);
    return ERR_OK;
}

/* ---- reading ---- */

/* All but the texts of phases, which can be large. Other fields need not have a name that is a
 * path, so they cannot be listed. */
#define PHASE(name) ", result_data." name "_output: false, result_data." name "_serial: false"
static const char without_texts[] =
    "job_data: false, history: false, events: false, attempts: false"
#include "worker/jobs/phases.def"
    ;
#undef PHASE

enum err mongo_results_get(struct store *s, struct job_read *reads, size_t n)
{
    static const char *const fields[] = {
        [RESULT_ALL] = "result_data: true, lease: true, claim.open: true",
        [RESULT_FIELDS] = without_texts,
        [RESULT_STATE] = STATE_PATH ": true, lease: true, claim.open: true"};
    enum result_part part = RESULT_STATE;

    for (size_t i = 0; i < n; i++) /* one trip reads what any of them needs */
        if (reads[i].part < part)
            part = reads[i].part;
    return job_read_all(mongo_of(s), "result_data", fields[part], reads, n);
}
