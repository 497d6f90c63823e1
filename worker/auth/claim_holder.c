#include "worker/auth/claim_holder.h"

#include "common/bus.h"
#include "common/op.h"
#include "worker/auth/authorize.h"
#include "worker/auth/security_log.h"
#include "worker/http/cookie.h"
#include "worker/validation/job_id.h"

#include <stdlib.h>
#include <string.h>

#define AGENT_NAME_MAX 1024

static bool reads_result(const struct call *c)
{
    enum op op = route_op(c->route);

    return op == OP_RESULT_GET || op == OP_RESULT_STATUS;
}

/* Whether the call must be checked against the job's holder. Without a token (open mode) results
 * may be read, but nothing may be posted. */
static bool is_asked(const struct call *c)
{
    struct text id = c->request->params[0];

    if (!(route_flags(c->route) & ROUTE_HOLDER) || c->reply.status ||
        c->cfg->agent_identity == AGENT_IDENTITY_ANY || !job_id_valid(id.s, id.len))
        return false;
    if (!c->caller.has_token)
        return !reads_result(c);
    if (route_method(c->route) == HTTP_GET) /* users read as their roles allow */
        return c->caller.role == ROLE_AGENT;
    return !(c->caller.role & (unsigned)ROLES_MANAGERS);
}

static bool is_one_of(const struct call *c, const char *agent)
{
    return agent && c->caller.has_token &&
           authorize_speaks_for(c->caller.permissions, (struct text){agent, strlen(agent)});
}

/* The store tells late results by the agent_name cookie: it must name the token's own agent. */
static bool names_itself(const struct call *c)
{
    struct text cookie = c->request->headers[HDR_COOKIE];
    struct buf name = BUF_INIT(AGENT_NAME_MAX);

    if (route_op(c->route) != OP_RESULT_PUT)
        return true;
    bool own = cookie.s && cookie_get(cookie, "agent_name", &name) &&
               authorize_speaks_for(c->caller.permissions, (struct text){name.data, name.len});
    buf_free(&name);
    return own;
}

/* Whether the former holder posts: its posts go to the earlier attempt. An attempt without a known
 * agent accepts no posts. */
static bool is_late(const struct call *c, const struct job_holder *h)
{
    if (route_op(c->route) == OP_ATTACHMENTS_GET || !h->tried)
        return false;
    return is_one_of(c, h->former) && (!h->owner || names_itself(c));
}

static bool may(const struct call *c, const struct job_holder *h)
{
    if (is_one_of(c, h->owner) || is_late(c, h))
        return true;
    if (h->owner)
        return false;
    return !h->waits || reads_result(c);
}

static void refuse(struct call *c)
{
    reply_error(c, c->caller.has_token ? 403 : 401, "The token is not one of the job's agent");
    security_refused(c, "the client does not speak for the agent that has the job");
}

static void decide(struct call *c, const struct job_holder *h, enum err all)
{
    enum err e = all ? all : h->err;

    if (e == ERR_NOT_FOUND)
        return;
    if (e)
        reply_err(c, e);
    else if (!may(c, h))
        refuse(c);
}

void claim_holder_check(struct store *s, struct call *calls, size_t n)
{
    struct job_holder holders[BUS_BUNDLE_MAX] = {0};
    struct call *asked[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n && len < BUS_BUNDLE_MAX; i++)
        if (is_asked(&calls[i])) {
            holders[len].job_id = calls[i].request->params[0];
            asked[len++] = &calls[i];
        }
    enum err all = len ? store_job_holders(s, holders, len) : ERR_OK;
    for (size_t i = 0; i < len; i++) {
        decide(asked[i], &holders[i], all);
        free(holders[i].owner);
        free(holders[i].former);
    }
}
