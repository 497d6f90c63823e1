/* Results and states of jobs. Updates are pipelines: they decide on the job's state within the one
 * command, so that the filter is the _id alone (which needs no planner), and never go on to an
 * older document of the same job id. */
#include "worker/store/mongo/job.h"

#include "common/mem.h"
#include "worker/jobs/states.h"
#include "worker/store/mongo/oid.h"

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

/* The later of the present lease and this one. */
static struct doc_value longer_lease(int64_t lease_ms)
{
    return v_own(doc_of("$max: ['$lease', ?]", v_date(lease_ms)));
}

/* The lease after a change to `next`, which does not replace the states of `unless`; 0: as it is.
 * It becomes shorter only with another state. */
static struct doc_value next_lease(const char *next, const char *const *unless, int64_t lease_ms)
{
    const char *const same[] = {next, NULL};
    struct doc_value stays = v_str("$lease");

    if (state_is_over(next)) /* it was over before, or is now */
        return v_str("$$REMOVE");
    if (strcmp(next, "waiting") == 0)
        return when_state(unless, stays, v_str("$$REMOVE"));
    if (!lease_ms)
        return v_none();
    return when_state(unless, stays, when_state(same, longer_lease(lease_ms), v_date(lease_ms)));
}

/* Appends what changes with the state to the fields of a $set stage. */
static void add_state(bson_t *fields, const struct result_put *p)
{
    const char *next = p->job_state, *unless[STATES_MAX + 1], *or_same[STATES_MAX + 2];
    size_t n = states_not_replaced_by(next, unless);

    memcpy(or_same, unless, n * sizeof *unless);
    or_same[n] = next;
    or_same[n + 1] = NULL;
    doc_add(fields, STATE_PATH ": ?, history: ?, lease: ?",
            when_state(unless, v_str("$" STATE_PATH), v_own(doc_of("$literal: ?", v_str(next)))),
            when_state(or_same, v_str("$history"), v_own(job_history_more(next, NULL))),
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

/* Leaves out a job that was taken from this agent as lost and that another one has: lease_lost_by()
 * as a filter. */
static struct doc_value not_lost_by(struct text agent)
{
    if (!agent.s)
        return v_none();
    return v_own(doc_of("$or: [{claim.reruns: null}, {claim.owner: null}, {claim.owner: ?}]",
                        v_text(agent)));
}

enum how {
    FORGET = 1,  /* removes the job's old attempts: they must not keep it from a state */
    FOREIGN = 2, /* of another server: has any _id */
    REPORT = 4   /* the agent reports, so its claim has arrived */
};

/* Appends the update of a put to a batch. */
static void add_put(struct db_batch *b, const struct result_put *p, unsigned how)
{
    bson_t *fields = bson_new(), *odd = bson_new();
    struct db_change change = {.index = how & FOREIGN ? IX_JOB_ID : IX_NONE};
    bson_oid_t id;

    if (p->job_state)
        add_state(fields, p);
    else if (p->lease_ms)
        doc_add(fields, "lease: ?",
                when_state(states_not_leased(), v_str("$lease"), longer_lease(p->lease_ms)));
    bool ok = add_fields(fields, odd, p->fields);
    oid_of_text(p->job_id, &id);
    change.filter = how & FOREIGN ? doc_of("job_id: ?, ?", v_text(p->job_id), not_lost_by(p->agent))
                                  : doc_of("_id: ?, ?", v_oid(&id), not_lost_by(p->agent));
    if (ok)
        change.update = doc_of(
            "[?, ?, ?, ?, ?]",
            bson_empty(fields) ? v_none() : v_own(doc_of("$set: ?", v_doc(fields))),
            bson_empty(odd) ? v_none()
                            : v_own(doc_of("$set: {result_data: {$mergeObjects: ['$result_data', "
                                           "{$literal: ?}]}}",
                                           v_doc(odd))),
            how & REPORT ? v_own(doc_of("$unset: 'claim.open'")) : v_none(),
            how & FORGET ? v_own(doc_of("$unset: 'attempts'")) : v_none(),
            p->max && json_object_size(p->fields) ? v_own(job_size_check((int64_t)p->max))
                                                  : v_none());
    db_add_update(b, &change);
    bson_destroy(fields);
    bson_destroy(odd);
}

/* Tries our document, then that of another server, each first with and then without the job's old
 * attempts, which may leave no room. ERR_NOT_FOUND. */
static enum err put_with_care(struct mongo *m, const struct result_put *p, unsigned how,
                              struct db_done *done)
{
    static const unsigned tries[] = {0, FORGET, FOREIGN, FOREIGN | FORGET};
    enum err e = ERR_OK;

    *done = (struct db_done){0};
    for (size_t i = 0; i < 4; i++) {
        struct db_batch b = DB_BATCH(JOBS);
        if (tries[i] & FORGET ? e != ERR_TOO_LARGE : e != ERR_OK)
            continue;
        add_put(&b, p, how | tries[i]);
        e = db_run(m, &b, done);
        if (!e && done->matched)
            return ERR_OK;
    }
    return e ? e : ERR_NOT_FOUND;
}

enum err mongo_job_cancel(struct store *s, struct text job_id)
{
    struct result_put cancel = {.job_id = job_id, .job_state = "cancelled"};
    struct db_done done;
    enum err e = put_with_care(mongo_of(s), &cancel, 0, &done);

    return !e && !done.modified ? ERR_CONFLICT : e;
}

/* ---- results that come late ---- */

/* Puts into the newest attempt what comes from the agent that had the job then. ERR_NOT_FOUND:
 * there is no job of this id. Names that are no paths are left out. */
static enum err put_late(struct mongo *m, const struct result_put *p)
{
    struct db_found f;
    struct db_done done = {0};
    bson_iter_t attempts;
    char before[64], path[96];
    size_t n = 0;
    bool ok = true;
    const char *name, *state;
    json_t *value;
    enum err e = job_find(m, p->job_id, "attempts.result_data.job_state: true", &f);

    if (e)
        return e;
    if (doc_list(&f.doc, "attempts", &attempts))
        while (bson_iter_next(&attempts))
            n++;
    bson_t *set = bson_new();
    snprintf(before, sizeof before, "attempts.%zu.result_data.", n ? n - 1 : 0);
    json_object_foreach (p->fields, name, value) {
        char *at = path_of(before, name);
        ok = ok && (!is_path(name) || doc_put(set, at, v_json(value)));
        free(at);
    }
    snprintf(path, sizeof path, "%sjob_state", before);
    state = doc_str(&f.doc, path);
    if (p->job_state && state_may_follow(state ? state : "", p->job_state))
        doc_put(set, path, v_str(p->job_state));
    if (n && !bson_empty(set)) {
        int64_t max = (int64_t)p->max - (int64_t)set->len;
        e = DB_UPDATE(m, JOBS, &done,
                      .filter = doc_of(
                          "_id: ?, $expr: ?", v_field(&f.doc, "_id"),
                          p->max ? v_own(doc_of("$lte: [{$bsonSize: '$$ROOT'}, ?]", v_int64(max)))
                                 : v_none()),
                      .update = ok ? doc_of("$set: ?", v_doc(set)) : NULL, .index = IX_ID);
        if (!e && !done.matched)
            e = ERR_TOO_LARGE;
    }
    bson_destroy(set);
    db_end(&f);
    return e;
}

/* ---- results ---- */

static bool is_empty(const struct result_put *p)
{
    return json_object_size(p->fields) == 0 && !p->job_state;
}

static enum err put_one(struct mongo *m, const struct result_put *p)
{
    struct db_found f;
    struct db_done done;
    enum err e;

    if (is_empty(p)) {
        e = job_find(m, p->job_id, "_id: true", &f);
        db_end(&f);
        return e;
    }
    e = put_with_care(m, p, REPORT, &done);
    return e == ERR_NOT_FOUND && p->agent.s ? put_late(m, p) : e;
}

/* All puts in one command. If that does not settle all of them, each is put alone: one that went in
 * changes nothing the second time. */
enum err mongo_results_put(struct store *s, struct result_put *puts, size_t n)
{
    struct mongo *m = mongo_of(s);
    struct db_batch b = DB_BATCH(JOBS);
    struct db_done done;

    for (size_t i = 0; i < n; i++)
        if (!is_empty(&puts[i]))
            add_put(&b, &puts[i], REPORT);
    size_t sent = b.n;
    enum err e = db_run(m, &b, &done);
    bool again = e == ERR_TOO_LARGE || e == ERR_INTERNAL || (!e && (size_t)done.matched < sent);
    for (size_t i = 0; i < n; i++)
        puts[i].err = again || (!e && is_empty(&puts[i])) ? put_one(m, &puts[i]) : e;
    return ERR_OK;
}

/* ---- reading ---- */

/* All but the texts of phases, which can be large. The names of what else was posted need not be
 * paths, so that it cannot be listed. */
#define PHASE(name) ", result_data." name "_output: false, result_data." name "_serial: false"
static const char without_texts[] = "job_data: false, history: false, attempts: false"
#include "worker/jobs/phases.def"
    ;
#undef PHASE

enum err mongo_results_get(struct store *s, struct job_read *reads, size_t n)
{
    static const char *const fields[] = {[RESULT_ALL] = "result_data: true",
                                         [RESULT_FIELDS] = without_texts,
                                         [RESULT_STATE] = STATE_PATH ": true"};
    enum result_part part = RESULT_STATE;

    for (size_t i = 0; i < n; i++) /* one trip reads what any of them needs */
        if (reads[i].part < part)
            part = reads[i].part;
    return job_read_all(mongo_of(s), "result_data", fields[part], reads, n);
}
