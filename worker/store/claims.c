#include "worker/store/claims.h"

#include <stdlib.h>

void orphan_free(struct orphan *o)
{
    free(o->job_id);
    free(o->queue);
    free(o->state);
    free(o->owner);
    free(o->webhook);
}
