#include "worker/jobs/claims.h"

int64_t claim_wait_s(int64_t created_ms, int64_t started_ms)
{
    return created_ms < started_ms ? (started_ms - created_ms) / 1000 : 0;
}

bool claim_is_lost(struct text state)
{
    return text_is(state, "running");
}

bool claim_asks_for(const struct text *queues, size_t n, struct text queue)
{
    for (size_t i = 0; i < n; i++)
        if (queue.s && text_equal(queues[i], queue))
            return true;
    return false;
}
