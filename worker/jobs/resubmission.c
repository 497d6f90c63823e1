#include "worker/jobs/resubmission.h"

#include <string.h>

#define STATUS "attachments_status"

bool job_data_same(const json_t *stored, const json_t *sent)
{
    size_t n = json_object_size(stored);
    const char *name;
    json_t *value;

    if (!json_is_object(stored) || n != json_object_size(sent))
        return false;
    json_object_foreach ((json_t *)(uintptr_t)stored, name, value) {
        const json_t *other = json_object_get(sent, name);
        if (!other || (strcmp(name, STATUS) != 0 && !json_equal(value, other)))
            return false;
    }
    return true;
}

enum resubmission resubmission(const struct resubmitted *r)
{
    if (r->known)
        return RESUBMIT_NOTHING;
    if (r->repeat && r->created >= r->received)
        return RESUBMIT_NOTHING; /* its first try was stored, and may be replaced since */
    if (!r->state || strcmp(r->state, "waiting") != 0)
        return RESUBMIT_ATTEMPT;
    return job_data_same(r->stored, r->sent) ? RESUBMIT_NOTHING : RESUBMIT_RENEWS;
}
