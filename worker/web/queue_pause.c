/* Pauses and resumes a queue, by a form. */
#include "common/op.h"
#include "worker/handlers/holds.h"
#include "worker/request/form.h"
#include "worker/web/act.h"
#include "worker/web/page.h"
#include "worker/web/values.h"

#include <stdio.h>
#include <string.h>

handler_fn h_page_queue_pause, h_web_queue_pause, h_web_queue_resume, h_queue_pause, h_queue_resume;

void h_page_queue_pause(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text queue = c->request->params[0];
    json_t *holds = NULL;
    enum err e = holds_load(c->store, HOLD_QUEUE, queue, &holds);
    const json_t *hold = json_object_getn(holds, queue.len ? queue.s : "", queue.len);

    (void)n;
    if (e)
        reply_err(c, e);
    else
        page_reply(c, 200,
                   json_pack("{s:s, s:o, s:o, s:b, s:o}", "title",
                             hold ? "Resume a queue" : "Pause a queue", "name", page_text(queue),
                             "url", page_url("/queues/", queue, ""), "is_paused", hold != NULL,
                             "paused", page_hold(hold)));
    json_decref(holds);
}

/* The date of the form as the API takes it: browsers send "2026-11-28T20:30", which is meant as
 * UTC. NULL: none was given. */
static json_t *until_of(struct text t)
{
    const char *rest = t.len == strlen("2026-11-28T20:30")      ? ":00Z"
                       : t.len == strlen("2026-11-28T20:30:00") ? "Z"
                                                                : "";

    return t.len ? json_sprintf("%.*s%s", (int)t.len, t.s, rest) : NULL;
}

/* Runs the API's handler and leads back to the page of the queue. */
static void act(struct call *c, unsigned op, handler_fn *handler, const char *done)
{
    struct text reason = form_text(c, "reason");
    const struct act act = {.op = op,
                            .handler = handler,
                            .body = json_pack("{s:o, s:o*}", "reason",
                                              page_text(reason.s ? reason : (struct text){"", 0}),
                                              "until", until_of(form_text(c, "until")))};

    if (act_run(c, &act))
        page_see_other(c, page_url("/queues/", c->request->params[0], done));
}

void h_web_queue_pause(struct call *calls[], size_t n)
{
    (void)n;
    act(calls[0], OP_QUEUE_PAUSE, h_queue_pause, "?done=paused");
}

void h_web_queue_resume(struct call *calls[], size_t n)
{
    (void)n;
    act(calls[0], OP_QUEUE_RESUME, h_queue_resume, "?done=resumed");
}
