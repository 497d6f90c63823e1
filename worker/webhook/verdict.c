#include "worker/webhook/verdict.h"

const struct fault_row fault_rows[FAULT_COUNT_] = {
#define FAULT(id, label, reason, away) {label, reason, away},
#include "worker/webhook/faults.def"
#undef FAULT
};

enum fault fault_of_status(int status)
{
    if (status >= 200 && status < 300)
        return FAULT_NONE;
    if (status == 429 || status == 503)
        return FAULT_BUSY;
    return status >= 500 ? FAULT_SERVER : FAULT_STATUS;
}

/* Whether another try cannot succeed. */
static bool is_final(const struct outcome *o)
{
    if (o->fault == FAULT_ADDRESS || o->fault == FAULT_FORBIDDEN)
        return true;
    return o->fault == FAULT_STATUS && o->status >= 400 && o->status < 500 && o->status != 408 &&
           o->status != 425;
}

int64_t backoff_ms(const struct config *cfg, int64_t tries, uint64_t random)
{
    int64_t bound = cfg->webhook_backoff;

    for (int64_t i = 1; i < tries && bound < cfg->webhook_backoff_max; i++)
        bound *= 2;
    if (bound > cfg->webhook_backoff_max)
        bound = cfg->webhook_backoff_max;
    return (int64_t)(random % (uint64_t)bound) + 1;
}

enum outbox_outcome verdict(const struct config *cfg, const struct outcome *o,
                            const struct tried *t, int64_t *ret_due_ms)
{
    int64_t pause = backoff_ms(cfg, t->tries, t->random);
    int64_t end = t->since_ms + cfg->webhook_age * 1000;

    if (o->fault == FAULT_NONE)
        return OUTBOX_DONE;
    if (is_final(o) || t->tries >= cfg->webhook_tries)
        return OUTBOX_GIVE_UP;
    /* Honour Retry-After; the random part spreads the events. */
    if (o->retry_after_ms)
        pause = o->retry_after_ms + (int64_t)(t->random % 1000);
    if (t->now_ms + pause > end)
        return OUTBOX_GIVE_UP;
    *ret_due_ms = t->now_ms + pause;
    return OUTBOX_RETRY;
}
