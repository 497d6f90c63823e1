#include "worker/jobs/lease.h"

#include "worker/jobs/states.h"

#include <string.h>

#define GLOBAL_TIMEOUT_DEFAULT ((int64_t)4 * 3600)
#define TIMEOUT_MAX            ((int64_t)366 * 86400)

bool lease_has_own(const char *state)
{
    return strcmp(state, "provision") == 0 || strcmp(state, "reserve") == 0;
}

int64_t lease_length_ms(const struct lease_job *job, int64_t length_ms)
{
    int64_t own_s = 0;

    if (strcmp(job->state, "provision") == 0)
        own_s = job->global_timeout > 0 ? job->global_timeout : GLOBAL_TIMEOUT_DEFAULT;
    else if (strcmp(job->state, "reserve") == 0)
        own_s = job->reserve_timeout > 0 ? job->reserve_timeout : RESERVE_DEFAULT;
    if (own_s > TIMEOUT_MAX)
        own_s = TIMEOUT_MAX;
    return own_s * 1000 + length_ms;
}

int64_t lease_reserved_ms(const char *state, int64_t since_ms, int64_t timeout_s)
{
    if (strcmp(state, "reserve") != 0 || !since_ms)
        return 0;
    if (timeout_s > TIMEOUT_MAX)
        timeout_s = TIMEOUT_MAX;
    return since_ms + (timeout_s > 0 ? timeout_s : RESERVE_DEFAULT) * 1000;
}

static bool same_text(struct text a, struct text b)
{
    return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

bool lease_is_due(const struct lease_job *job, const struct lease_renewal *r, int64_t *ret_end_ms)
{
    int64_t length_ms = lease_length_ms(job, r->length_ms);

    if (state_is_over(job->state) || strcmp(job->state, "waiting") == 0)
        return false;
    if (job->owner.s && r->agent.s && !same_text(job->owner, r->agent))
        return false;
    if (job->owner.s && !r->agent.s && !r->certain) /* a reader, not an agent */
        return false;
    if (job->open && !r->certain && !job->owner.s) /* may be a reader: do not confirm the claim */
        return false;
    *ret_end_ms = r->now_ms + length_ms;
    return job->open || job->lease_ms < *ret_end_ms - (r->exact ? 0 : length_ms / 2);
}

bool lease_lost_by(struct text agent, struct text owner, int64_t reruns)
{
    return reruns > 0 && owner.s && agent.s && !same_text(owner, agent);
}
