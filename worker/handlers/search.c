/* Search for jobs by tags and states. */
#include "worker/http/dates.h"
#include "worker/http/listing.h"
#include "worker/http/query.h"
#include "worker/jobs/states.h"
#include "worker/request/call.h"

#include <stdio.h>
#include <string.h>

handler_fn h_job_search;

/* First the states that the reference server knows, in the order of its message, then those that it
 * lacks. */
static const char *const known_states[] = {
    "setup",   "provision", "firmware_update", "test",   "allocate", "allocated", "reserve",
    "cleanup", "cancelled", "completed",       "active", "waiting",  "running",   "complete"};
static const char bad_state[] =
    "Must be one of: setup, provision, firmware_update, test, allocate, allocated, reserve, "
    "cleanup, cancelled, completed, active.";

static bool is_known(const char *state)
{
    for (size_t i = 0; i < sizeof known_states / sizeof *known_states; i++)
        if (strcmp(state, known_states[i]) == 0)
            return true;
    return false;
}

/* Faults of the states by position; NULL: none. */
static json_t *states_faults(const json_t *states)
{
    json_t *faults = NULL, *state;
    char index[24];
    size_t i;

    json_array_foreach (states, i, state) {
        if (is_known(json_string_value(state)) &&
            strlen(json_string_value(state)) == json_string_length(state))
            continue;
        if (!faults)
            faults = json_object();
        snprintf(index, sizeof index, "%zu", i);
        json_object_set_new(faults, index, json_pack("[s]", bad_state));
    }
    return faults;
}

static enum search_states which_states(const json_t *states)
{
    json_t *state;
    size_t i;

    json_array_foreach (states, i, state)
        if (strcmp(json_string_value(state), "active") == 0)
            return SEARCH_ACTIVE;
    return json_array_size(states) ? SEARCH_LISTED : SEARCH_ANY;
}

/* Reads the parameters; false: answered. */
static bool load(struct call *c, const json_t *states, struct job_search *s)
{
    json_t *errors = json_object(), *faults = states_faults(states);
    struct text match;

    if (query_first(c->request, "match", &match)) {
        s->all_tags = match.len == 3 && memcmp(match.s, "all", 3) == 0;
        if (!s->all_tags && !(match.len == 3 && memcmp(match.s, "any", 3) == 0))
            json_object_set_new(errors, "match", json_pack("[s]", "Must be one of: any, all."));
    }
    if (faults)
        json_object_set_new(errors, "state", faults);
    if (json_object_size(errors)) {
        query_invalid(c, errors);
        return false;
    }
    json_decref(errors);
    s->which = which_states(states);
    s->states = states;
    return true;
}

void h_job_search(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *tags = query_array(c->request, "tags"), *states = query_array(c->request, "state");
    char cursor[LIST_CURSOR_SIZE];
    struct list_page page;
    struct listing list;
    struct job_search search = {.tags = tags};
    enum dates dates;

    (void)n;
    if (load(c, states, &search) && dates_of(c, &dates) &&
        listing_begin_page(&list, c, &page, cursor)) {
        list.show = date_show_created;
        list.arg = &dates;
        enum err e = store_jobs_search(c->store, &search, &page);
        if (e == ERR_INVALID)
            query_bad_cursor(c);
        else if (e)
            reply_err(c, e);
        else
            listing_reply(&list, page.next);
        listing_drop(&list);
    }
    json_decref(tags);
    json_decref(states);
}
