#include "worker/handlers/jobs_query.h"

#include "worker/handlers/search_states.h"

/* "me": the caller. False: answered. */
static bool take_submitter(struct list_query *q, struct job_filter *f)
{
    f->submitter = list_query_text(q, "submitter");
    if (!f->submitter.s || !text_is(f->submitter, "me"))
        return true;
    f->submitter = caller_id(q->c);
    if (!f->submitter.s)
        reply_error(q->c, 401, "A token is needed to tell which jobs are yours");
    return f->submitter.s;
}

bool jobs_query_load(struct list_query *q, const json_t *states, const json_t *tags,
                     struct job_filter *ret)
{
    json_t *faults = search_states_faults(states);

    *ret = (struct job_filter){.tags = tags,
                               .which = search_states_which(states),
                               .states = states,
                               .queue = list_query_text(q, "queue"),
                               .agent = list_query_text(q, "agent"),
                               .since_ms = q->since_ms,
                               .until_ms = q->until_ms};
    if (faults)
        json_object_set_new(q->errors, "state", faults);
    return list_query_check(q) && take_submitter(q, ret);
}
