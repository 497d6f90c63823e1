#include "common/watchdog.h"

enum watchdog_verdict watchdog_look(struct watchdog *w, const struct beat *b, bool late, bool waits,
                                    unsigned limit)
{
    bool still = b->turned == w->turned;
    bool deaf = waits && !b->paused && b->accepted == w->accepted;

    w->still = late ? 0 : still ? w->still + 1 : 0;
    w->deaf = late ? 0 : deaf ? w->deaf + 1 : 0;
    w->turned = b->turned;
    w->accepted = b->accepted;
    /* A loop that stands still accepts nothing either. */
    return w->still >= limit ? WATCHDOG_STILL : w->deaf >= limit ? WATCHDOG_DEAF : WATCHDOG_WELL;
}
