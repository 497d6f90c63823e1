#include "worker/webhook/answer.h"

#include <string.h>

#define TEXT "text/plain; charset=utf-8"

void answer_state(struct call *c, const char *event_id, enum outbox_state state)
{
    static const char *const names[] = {
        [OUTBOX_PENDING] = "queued", [OUTBOX_DELIVERED] = "delivered", [OUTBOX_DEAD] = "dead"};

    reply_header(c, HEADER_EVENT_ID, event_id);
    reply_header(c, HEADER_EVENT_STATE, names[state]);
}

/* Answers with the receiver's reply. */
static void pass_on(struct call *c, int status, struct text answer)
{
    if (c->cfg->auth != AUTH_OPEN && (status == 401 || status == 403))
        reply_error(c, 500, "Webhook authentication failed");
    else if (status == 204 || status == 205 || status == 304)
        reply_bytes(c, status, TEXT, "", 0);
    else
        reply_bytes(c, status, TEXT, answer.s ? answer.s : "", answer.len);
}

void answer_outcome(struct call *c, const struct outcome *o, struct text answer)
{
    bool open = c->cfg->auth == AUTH_OPEN;

    if (o->status)
        pass_on(c, o->status, answer);
    else if (o->fault == FAULT_FORBIDDEN || o->fault == FAULT_ADDRESS)
        reply_error(c, 403, "Invalid job_status_webhook URL specified");
    else if (open && (o->fault == FAULT_TIMEOUT || o->fault == FAULT_CONNECTING))
        reply_text(c, 504, "Webhook Timeout");
    else if (o->fault == FAULT_CONNECTING)
        reply_error(c, 504, "Webhook Timeout");
    else
        reply_error(c, 502, "Webhook unreachable");
}
