/* A webhook event that a call put into the outbox and that is tried before the call is answered. */
#ifndef WORKER_STORE_EVENT_POST_H
#define WORKER_STORE_EVENT_POST_H

#include "worker/store/outbox.h"

#include <jansson.h>

/* Headers of the answer: the event's id; "delivered", "queued" (tried again later) or "dead". */
#define HEADER_EVENT_ID    "X-Webhook-Event-Id"
#define HEADER_EVENT_STATE "X-Webhook-Event-State"
#define EVENT_QUEUED       "Webhook queued" /* the text of the answer 202 */

/* Lease of a claimed lane: the longest try, and what waits before it in this process. After it any
 * dispatcher may take the lane. */
#define EVENT_LEASE_MS(cfg) (2 * (cfg)->webhook_timeout + 3000)

struct event_post {
    struct outbox_add add; /* as stored; its texts are those below, or of the request */
    char id[REQUEST_ID_SIZE];
    char lane[OUTBOX_LANE_SIZE];
    char receiver[OUTBOX_LANE_SIZE];
    char token[OUTBOX_TOKEN_SIZE];
    char *job_id, *url, *body; /* owned */
    json_t *events;            /* what the job keeps of it; owned */
};

void event_post_free(struct event_post *p); /* may be NULL */

/* A token that no other claim has. */
void event_token(char out[OUTBOX_TOKEN_SIZE]);

#endif
