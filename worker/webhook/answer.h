/* Answers to those who post events (docs/webhooks.md, "Answers"). */
#ifndef WORKER_WEBHOOK_ANSWER_H
#define WORKER_WEBHOOK_ANSWER_H

#include "worker/request/call.h"
#include "worker/webhook/verdict.h"

/* Answers with the receiver's reply, or with how the try failed. Without a reply the status depends
 * on --auth: clients of the open mode expect others. */
void answer_outcome(struct call *c, const struct outcome *o, struct text answer);

/* Adds the headers that tell where the event stands. */
void answer_state(struct call *c, const char *event_id, enum outbox_state state);

#endif
