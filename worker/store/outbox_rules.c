#include "worker/store/outbox.h"

#include "worker/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void outbox_event_free(struct outbox_event *e)
{
    free(e->lane);
    free(e->job_id);
    free(e->receiver);
    free(e->url);
    free(e->body);
    *e = (struct outbox_event){0};
}

enum err outbox_lane(const char *job_id, const char *receiver, char out[OUTBOX_LANE_SIZE])
{
    int n = snprintf(out, OUTBOX_LANE_SIZE, "%s %s", job_id, receiver);

    return n < OUTBOX_LANE_SIZE ? ERR_OK : ERR_TOO_LARGE;
}

bool outbox_too_large(const struct outbox_add *a)
{
    const size_t others = 64 * 1024; /* what is around body and URL */

    return strlen(a->body) + strlen(a->url) + others > STORE_DOCUMENT_MAX;
}
