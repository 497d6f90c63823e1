/* A webhook event that a call has put into the outbox, and that is tried before the call is
 * answered. */
#ifndef WORKER_STORE_EVENT_POST_H
#define WORKER_STORE_EVENT_POST_H

#include "worker/store/outbox.h"

/* Answers to the call tell with these headers what became of the event: its id, and "delivered",
 * "queued" (it is tried again later) or "dead". */
#define HEADER_EVENT_ID    "X-Webhook-Event-Id"
#define HEADER_EVENT_STATE "X-Webhook-Event-State"

/* Room for the longest try beside what waits before it in this process. Whoever finds a lane that
 * is claimed for longer takes it. */
#define EVENT_LEASE_MS(cfg) (2 * (cfg)->webhook_timeout + 3000)

struct event_post {
    struct outbox_add add; /* as stored; its texts are those below, or of the request */
    char id[REQUEST_ID_SIZE];
    char lane[OUTBOX_LANE_SIZE];
    char receiver[OUTBOX_LANE_SIZE];
    char token[OUTBOX_TOKEN_SIZE];
    char *job_id, *url, *body; /* owned */
};

void event_post_free(struct event_post *p); /* NULL is fine */

/* A token that no other claim has. */
void event_token(char out[OUTBOX_TOKEN_SIZE]);

#endif
