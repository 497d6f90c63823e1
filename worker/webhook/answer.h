/* Answers to posts of events (docs/webhooks.md, "Answers"). */
#ifndef WORKER_WEBHOOK_ANSWER_H
#define WORKER_WEBHOOK_ANSWER_H

#include "worker/request/call.h"
#include "worker/webhook/verdict.h"

/* Answers with the receiver's reply, or with how the try failed; with answer_queued() where the
 * receiver is down, except after a timeout of the post's own event (`tried`). --compat reference
 * names every fault. */
void answer_outcome(struct call *c, const struct outcome *o, struct text answer, bool tried);

/* Answers that the event is kept: 202. */
void answer_queued(struct call *c);

/* Adds the headers that tell the state of the event. */
void answer_state(struct call *c, const char *event_id, enum outbox_state state);

#endif
