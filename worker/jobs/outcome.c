#include "worker/jobs/outcome.h"

#include "worker/jobs/phases.h"

#include <stdio.h>

json_t *outcome_status(const json_t *result)
{
    const json_t *by_phase = json_object_get(result, "status");
    json_t *status = json_object();
    char field[64];

    for (int i = 0; i < PHASE_COUNT; i++) {
        json_t *code = json_object_get(by_phase, phase_names[i]);
        snprintf(field, sizeof field, "%s_status", phase_names[i]);
        if (!json_is_integer(code))
            code = json_object_get(result, field);
        if (json_is_integer(code))
            json_object_set(status, phase_names[i], code);
    }
    return status;
}

bool outcome_failed(const json_t *status, const char **ret_phase, int64_t *ret_code)
{
    for (int i = 0; i < PHASE_COUNT; i++) {
        const json_t *code = json_object_get(status, phase_names[i]);
        if (json_integer_value(code) == 0)
            continue;
        *ret_phase = phase_names[i];
        *ret_code = json_integer_value(code);
        return true;
    }
    return false;
}
