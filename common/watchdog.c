#include "common/watchdog.h"

/* One look without a new beat proves nothing: looks and beats have the same period and may both be
 * a little late. */
enum { LOOKS_MIN = 2 };

enum watchdog_verdict watchdog_look(struct watchdog *w, const struct beat *b, bool late, bool waits,
                                    unsigned limit)
{
    bool still = !b->excused && b->turned == w->turned;
    bool deaf = waits && !b->paused && b->accepted == w->accepted;

    w->still = late ? 0 : still ? w->still + 1 : 0;
    w->deaf = late ? 0 : deaf ? w->deaf + 1 : 0;
    if (limit < LOOKS_MIN)
        limit = LOOKS_MIN;
    w->turned = b->turned;
    w->accepted = b->accepted;
    /* A hanging loop accepts nothing either: report it as hanging. */
    return w->still >= limit ? WATCHDOG_STILL : w->deaf >= limit ? WATCHDOG_DEAF : WATCHDOG_WELL;
}
