/* The parameter `state` of lists of jobs. */
#include "worker/handlers/search_states.h"

#include "worker/jobs/states.h"

#include <stdio.h>
#include <string.h>

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

json_t *search_states_faults(const json_t *states)
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

enum search_states search_states_which(const json_t *states)
{
    json_t *state;
    size_t i;

    json_array_foreach (states, i, state)
        if (strcmp(json_string_value(state), "active") == 0)
            return SEARCH_ACTIVE;
    return json_array_size(states) ? SEARCH_LISTED : SEARCH_ANY;
}
