/* Checks a request by its head, before the frontend accepts the body. authorize_pass() has run;
 * here are the handlers' own checks that need no body. The request itself is checked again later.
 *
 * If you add a check by the head to a handler, add it here too: else its large bodies are uploaded
 * before they are refused. */
#include "worker/request/ask.h"

#include "common/log.h"
#include "common/op.h"
#include "worker/auth/authorize.h"
#include "worker/handlers/upload_wanted.h"

#include <string.h>

handler_fn h_ask;

void ask_resolve(struct call *c, struct request *r)
{
    const char *space = r->body.len ? memchr(r->body.s, ' ', r->body.len) : NULL;

    if (route_op(c->route) != OP_ASK)
        return;
    size_t len = space ? (size_t)(space - r->body.s) : 0;
    const struct route *asked = route_named(r->body.s, len);
    if (asked && *route_path(asked) && r->body.len == len + 1 + REQUEST_ID_SIZE - 1) {
        memcpy(r->id, space + 1, REQUEST_ID_SIZE - 1);
        c->route = asked;
        c->ask = true;
        return;
    }
    log_error("refused a request of a frontend: it asks about no known endpoint; run the same "
              "release in all processes");
    reply_err(c, ERR_INTERNAL);
}

/* Checks of one endpoint each. False: refused and answered. */
static bool agent_put_wanted(struct call *c)
{
    return authorize_agent(c, c->request->params[0]);
}

static bool (*const questions[OP_COUNT_])(struct call *c) = {
    [OP_AGENT_PUT] = agent_put_wanted,
    [OP_ATTACHMENTS_PUT] = attachments_wanted,
    [OP_WEB_ATTACHMENTS] = attachments_wanted,
    [OP_ARTIFACT_PUT] = artifact_wanted,
};

void h_ask(struct call *calls[], size_t n)
{
    struct call *c = calls[0];

    (void)n;
    if (!questions[route_op(c->route)] || questions[route_op(c->route)](c))
        reply_bytes(c, ASK_GO_ON, "text/plain", "", 0);
}
