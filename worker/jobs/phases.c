#include "worker/jobs/phases.h"

#include <string.h>

const char *const phase_names[PHASE_COUNT + 1] = {
#define PHASE(name) name,
#include "worker/jobs/phases.def"
#undef PHASE
};

static bool is(struct text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.s, s, t.len) == 0;
}

int phase_of(struct text name)
{
    for (int i = 0; i < PHASE_COUNT; i++)
        if (is(name, phase_names[i]))
            return i;
    return -1;
}

int phase_of_state(struct text state)
{
    return is(state, "allocated") ? phase_of((struct text){"allocate", strlen("allocate")})
                                  : phase_of(state);
}

int phase_at(const struct phase_change *changes, size_t n, int64_t at_ms)
{
    int found = -1;

    for (size_t i = 0; i < n; i++)
        if (changes[i].phase >= 0 && (found < 0 || changes[i].at_ms <= at_ms))
            found = changes[i].phase;
    return found < 0 ? 0 : found;
}
