#include "broker/pace.h"

enum {
    AVERAGE_OF = 8, /* weight of a new time in an average: 1/8 */
    PATIENCE_TURNS = 2
};

void pace_note(struct pace *p, unsigned op, uint32_t took_us)
{
    if (op > BUS_OPS_MAX || !took_us)
        return;
    int64_t before = p->took_us[op] ? p->took_us[op] : took_us;
    p->took_us[op] = (uint32_t)(before + ((int64_t)took_us - before) / AVERAGE_OF);
}

void pace_note_turn(struct pace *p, int64_t us)
{
    int64_t limited = us < PATIENCE_MAX_US ? us : PATIENCE_MAX_US; /* one turn of seconds is rare */

    p->turn_us += (limited - p->turn_us) / AVERAGE_OF;
}

uint32_t pace_expect(const struct pace *p, unsigned op)
{
    return op <= BUS_OPS_MAX ? p->took_us[op] : 0;
}

int64_t pace_patience_us(const struct pace *p)
{
    int64_t us = PATIENCE_TURNS * p->turn_us;

    return us < PATIENCE_MIN_US ? PATIENCE_MIN_US : us < PATIENCE_MAX_US ? us : PATIENCE_MAX_US;
}
