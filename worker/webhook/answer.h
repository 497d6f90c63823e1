/* Answers to posts of events (docs/webhooks.md, "Answers"). */
#ifndef WORKER_WEBHOOK_ANSWER_H
#define WORKER_WEBHOOK_ANSWER_H

#include "worker/request/call.h"
#include "worker/webhook/verdict.h"

/* Answers with the receiver's reply, or with how the try failed. The status without a reply depends
 * on --auth: clients of the open mode expect another one. */
void answer_outcome(struct call *c, const struct outcome *o, struct text answer);

/* Adds the headers that tell the state of the event. */
void answer_state(struct call *c, const char *event_id, enum outbox_state state);

#endif
