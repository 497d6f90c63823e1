#include "worker/store/expiry.h"

#include <stdio.h>

int64_t expiry_end_ms(const struct expiry *x)
{
    return x->limits.waiting_before_ms > x->limits.before_ms ? x->limits.waiting_before_ms
                                                             : x->limits.before_ms;
}

void expiry_passed(struct expiry *x, int64_t at_ms, bool stays)
{
    if (at_ms > x->from_ms) {
        x->from_ms = at_ms;
        x->kept = 0;
    }
    x->kept += stays;
}

void expiry_cancelled(struct expiry *x, struct text job_id)
{
    snprintf(x->cancelled_ids[x->cancelled++], JOB_ID_SIZE, "%.*s", (int)job_id.len,
             job_id.s ? job_id.s : "");
}
