/* Search for jobs by tags and states. */
#include "worker/handlers/search_states.h"
#include "worker/http/dates.h"
#include "worker/http/listing.h"
#include "worker/http/query.h"

#include <string.h>

handler_fn h_job_search;

/* Reads the parameters; false: answered. */
static bool load(struct call *c, const json_t *states, struct job_search *s)
{
    json_t *errors = json_object(), *faults = search_states_faults(states);
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
    s->which = search_states_which(states);
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
