#include "worker/jobs/states.h"

#include <string.h>

static const struct state {
    const char *name;
    int rank;
    bool over;
} states[] = {
#define STATE(name, rank, over) {name, rank, over},
#include "worker/jobs/states.def"
#undef STATE
};

enum { STATES_LEN = sizeof states / sizeof *states };
_Static_assert(STATES_LEN <= STATES_MAX, "raise STATES_MAX");

static const struct state *find(const char *name)
{
    for (size_t i = 0; i < STATES_LEN; i++)
        if (strcmp(states[i].name, name) == 0)
            return &states[i];
    return NULL;
}

bool state_is_over(const char *state)
{
    const struct state *s = find(state);
    return s && s->over;
}

bool state_is_complete(const char *state)
{
    return state_is_over(state) && strcmp(state, "cancelled") != 0;
}

static bool replaces(const struct state *now, const char *next)
{
    const struct state *to = find(next);

    return to ? now->rank <= to->rank : !now->over;
}

bool state_may_follow(const char *state, const char *next)
{
    const struct state *now = find(state);

    return !now || replaces(now, next);
}

size_t states_not_replaced_by(const char *next, const char *list[STATES_MAX + 1])
{
    size_t n = 0;

    for (size_t i = 0; i < STATES_LEN; i++)
        if (!replaces(&states[i], next))
            list[n++] = states[i].name;
    list[n] = NULL;
    return n;
}

static size_t list_over(const char *list[STATES_MAX + 2])
{
    size_t n = 0;

    for (size_t i = 0; i < STATES_LEN; i++)
        if (states[i].over)
            list[n++] = states[i].name;
    list[n] = NULL;
    return n;
}

const char *const *states_over(void)
{
    static const char *list[STATES_MAX + 2];

    list_over(list);
    return list;
}

const char *const *states_not_leased(void)
{
    static const char *list[STATES_MAX + 2];
    size_t n = list_over(list);

    list[n] = "waiting";
    list[n + 1] = NULL;
    return list;
}
