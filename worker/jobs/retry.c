#include "worker/jobs/retry.h"

#include "worker/jobs/states.h"

#include <string.h>

enum provisioned provisioned(const json_t *result)
{
    const json_t *code = json_object_get(result, "provision_status");

    if (!json_is_integer(code))
        code = json_object_get(json_object_get(result, "status"), "provision");
    if (!json_is_integer(code))
        return PROVISION_UNKNOWN;
    return json_integer_value(code) ? PROVISION_FAILED : PROVISION_FINE;
}

bool retry_is_due(const char *state, enum provisioned outcome, long long runs, long long allowed)
{
    return outcome == PROVISION_FAILED && !state_is_over(state) && strcmp(state, "waiting") != 0 &&
           runs < allowed && runs < RETRIES_MAX;
}
