/* Cancels the jobs that a search finds. */
#include "common/mem.h"
#include "worker/auth/authorize.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/events/server_events.h"
#include "worker/handlers/search_states.h"
#include "worker/http/jsonbody.h"
#include "worker/request/call.h"
#include "worker/validation/schemas.h"

#include <stdlib.h>
#include <string.h>

handler_fn h_jobs_cancel;

#define JOBS_MAX 1000

/* ---- what the caller asks for ---- */

/* Anybody's jobs: for managers and admins; for all where anybody may cancel any single job. */
static bool may_cancel_all(const struct call *c)
{
    return authorize_is(c, ROLES_MANAGERS) || (c->cfg->auth == AUTH_OPEN && !c->cfg->owner_rules);
}

/* Limits the search to the caller's own jobs. False: answered. */
static bool limit_to_own(struct call *c, struct job_search *search)
{
    if (may_cancel_all(c))
        return true;
    search->submitter = caller_id(c);
    if (search->submitter.s)
        return true;
    reply_error(c, 401, "A token is needed to tell which jobs are yours");
    security_refused(c, "without a token nobody has jobs");
    return false;
}

/* An array of the body; [] where there is none. */
static json_t *array_of(json_t *body, const char *name)
{
    if (!json_object_get(body, name))
        json_object_set_new(body, name, json_array());
    return json_object_get(body, name);
}

/* Fills search and limit from the body, which they point into. False: answered. */
static bool load(struct call *c, json_t *body, struct job_search *search, int64_t *limit)
{
    const json_t *match = json_object_get(body, "match"), *max = json_object_get(body, "limit");

    search->tags = array_of(body, "tags");
    search->states = array_of(body, "state");
    if (json_array_size(search->tags) + json_array_size(search->states) == 0) {
        reply_error(c, 422, "Name tags or states of the jobs to cancel");
        return false;
    }
    search->all_tags = match && strcmp(json_string_value(match), "all") == 0;
    search->which =
        search_states_which(search->states) == SEARCH_LISTED ? SEARCH_LISTED : SEARCH_ACTIVE;
    *limit = max ? json_integer_value(max) : JOBS_MAX;
    if (*limit < 1 || *limit > JOBS_MAX) {
        reply_invalid(c, json_pack("{s:[s]}", "limit", "Must be an integer from 1 to 1000."));
        return false;
    }
    return limit_to_own(c, search);
}

/* ---- the jobs ---- */

struct found {
    json_t *ids; /* array */
    int64_t limit;
};

static bool take_id(void *arg, struct text job_id, json_t *job)
{
    struct found *f = arg;
    bool fits = (int64_t)json_array_size(f->ids) < f->limit;

    json_decref(job);
    if (fits)
        json_array_append_new(f->ids, json_stringn(job_id.s, job_id.len));
    return fits;
}

/* Appends the ids of up to `limit` jobs of the search, in the order of submission. A store's page
 * may have less. */
static enum err find(struct call *c, const struct job_search *search, struct found *f)
{
    char after[LIST_CURSOR_SIZE];
    struct list_page page = {.take = take_id, .arg = f};
    enum err e;

    do {
        page.limit = f->limit - (int64_t)json_array_size(f->ids);
        e = store_jobs_search(c->store, search, &page);
        memcpy(after, page.next, sizeof after);
        page.after = after;
    } while (!e && *page.next && (int64_t)json_array_size(f->ids) < f->limit);
    return e;
}

/* Cancels the jobs that are not over; *ret_n: how many. */
static enum err cancel_all(struct call *c, const json_t *ids, size_t *ret_n)
{
    size_t i, n = json_array_size(ids);
    struct job_cancel *cancels = mem_alloc((n + 1) * sizeof *cancels);
    json_t *id;

    json_array_foreach (ids, i, id)
        cancels[i] = (struct job_cancel){.asked = call_asked(c), .job_id = json_string_text(id)};
    enum err e = store_jobs_cancel(c->store, cancels, n);
    *ret_n = 0;
    for (i = 0; i < n; i++) {
        bool was_over = cancels[i].err == ERR_NOT_FOUND || cancels[i].err == ERR_CONFLICT;
        *ret_n += !cancels[i].err;
        e = cancels[i].err && !was_over ? cancels[i].err : e;
    }
    server_events_cancelled(c->cfg, c->store, cancels, n);
    free(cancels);
    return e == ERR_NOT_FOUND || e == ERR_CONFLICT ? ERR_OK : e;
}

static void answer(struct call *c, json_t *ids, bool dry_run)
{
    size_t cancelled = 0;
    enum err e = dry_run ? ERR_OK : cancel_all(c, ids, &cancelled);

    if (e)
        reply_err(c, e);
    else
        reply_json(c, 200,
                   json_pack("{s:b, s:I, s:I, s:O}", "dry_run", dry_run, "found",
                             (json_int_t)json_array_size(ids), "cancelled", (json_int_t)cancelled,
                             "job_ids", ids));
}

/* Writes down which jobs it cancels before it does: a repeat cancels the same ones, no others. */
static void note(struct call *c, const json_t *body, json_t *ids)
{
    json_t *detail = json_pack("{s:O, s:O, s:O}", "tags", json_object_get(body, "tags"), "state",
                               json_object_get(body, "state"), "job_ids", ids);

    audit(c, "jobs.cancel", (struct text){"jobs", 4}, detail);
}

void h_jobs_cancel(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *body = json_body_load(c, &schema_jobs_cancel, 0), *detail = NULL;
    const json_t *dry_run = json_object_get(body, "dry_run");
    struct job_search search = {0};
    struct found f = {.ids = json_array()};
    enum err e = ERR_INVALID;

    (void)n;
    if (body && load(c, body, &search, &f.limit)) {
        bool dry = !dry_run || json_is_true(dry_run);
        e = dry ? ERR_NOT_FOUND : audit_detail(c, &detail);
        if (!e) {
            answer(c, json_object_get(detail, "job_ids"), false);
        } else if (e == ERR_NOT_FOUND) {
            e = find(c, &search, &f);
            if (!e && !dry)
                note(c, body, f.ids);
            if (e)
                reply_err(c, e);
            else
                answer(c, f.ids, dry);
        }
    }
    json_decref(f.ids);
    json_decref(detail);
    json_decref(body);
}
