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

void answer_queued(struct call *c)
{
    reply_text(c, 202, EVENT_QUEUED);
}

static bool timed_out(const struct outcome *o)
{
    return o->fault == FAULT_TIMEOUT || o->fault == FAULT_CONNECTING;
}

/* Whether the receiver's fault is none of the poster's: agents repeat a 5xx five times. */
static bool is_hidden(const struct call *c, const struct outcome *o, bool tried)
{
    if (c->cfg->compat == COMPAT_REFERENCE || o->fault == FAULT_FORBIDDEN ||
        o->fault == FAULT_ADDRESS)
        return false;
    return o->status ? o->status >= 500 : !tried || !timed_out(o);
}

void answer_outcome(struct call *c, const struct outcome *o, struct text answer, bool tried)
{
    bool open = c->cfg->auth == AUTH_OPEN;

    if (is_hidden(c, o, tried))
        answer_queued(c);
    else if (o->status)
        pass_on(c, o->status, answer);
    else if (o->fault == FAULT_FORBIDDEN || o->fault == FAULT_ADDRESS)
        reply_error(c, 403, "Invalid job_status_webhook URL specified");
    else if (open && timed_out(o))
        reply_text(c, 504, "Webhook Timeout");
    else if (o->fault == FAULT_CONNECTING || c->cfg->compat == COMPAT_DOCUMENTED)
        reply_error(c, 504, "Webhook Timeout");
    else
        reply_error(c, 502, "Webhook unreachable");
}
