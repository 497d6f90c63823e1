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

const char *const outbox_state_names[] = {
    [OUTBOX_PENDING] = "pending", [OUTBOX_DELIVERED] = "delivered", [OUTBOX_DEAD] = "dead"};

enum err outbox_lanes_of(struct text job_id, char first[OUTBOX_LANE_SIZE],
                         char end[OUTBOX_LANE_SIZE])
{
    if (job_id.len + 2 > OUTBOX_LANE_SIZE || !job_id.len || memchr(job_id.s, 0, job_id.len))
        return ERR_TOO_LARGE;
    snprintf(first, OUTBOX_LANE_SIZE, "%.*s ", (int)job_id.len, job_id.s);
    snprintf(end, OUTBOX_LANE_SIZE, "%.*s!", (int)job_id.len, job_id.s); /* '!' follows ' ' */
    return ERR_OK;
}

bool outbox_too_large(const struct outbox_add *a)
{
    const size_t others = 64 * 1024; /* what is around body and URL */

    return strlen(a->body) + strlen(a->url) + others > STORE_DOCUMENT_MAX;
}

struct outbox_after outbox_after(const struct outbox_settle *o)
{
    struct outbox_after after = {.tried = o->outcome != OUTBOX_PUT_BACK,
                                 .state = o->outcome == OUTBOX_DONE      ? OUTBOX_DELIVERED
                                          : o->outcome == OUTBOX_GIVE_UP ? OUTBOX_DEAD
                                                                         : OUTBOX_PENDING,
                                 .answer = o->answer};

    after.over = after.state != OUTBOX_PENDING;
    after.due_ms = after.over ? o->now_ms : o->due_ms;
    if (after.answer.len > OUTBOX_ANSWER_MAX)
        after.answer.len = OUTBOX_ANSWER_MAX;
    return after;
}
