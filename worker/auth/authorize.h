/* The gate before every handler: who calls, and whether the role may (docs/access-control.md). */
#ifndef WORKER_AUTH_AUTHORIZE_H
#define WORKER_AUTH_AUTHORIZE_H

#include "worker/request/call.h"

/* Fills c->caller. Answers the call when its token or role is refused; handlers then do not run. In
 * the open mode only ROUTE_GUARDED routes are refused: elsewhere an invalid token counts as none,
 * unless a handler needs one. */
void authorize_pass(struct call *c);

/* Answers 403 with the names of the roles that may, and tells the security log. */
void authorize_refuse_role(struct call *c, unsigned allowed);

/* Whether the caller has a token of one of these roles. */
bool authorize_is(const struct call *c, unsigned roles);

/* Whether a token's permissions speak for the agent: the client id is the agent's name, or the
 * client's `agents` list holds it. */
bool authorize_speaks_for(const json_t *permissions, struct text agent);

/* Whether the caller may act as this agent; else answers 401 or 403. Managers and admins may, and
 * everyone when the setting agent-identity is `any`. */
bool authorize_agent(struct call *c, struct text agent);

/* Whether the caller is the job's submitter, a manager, an admin or of a role in `also`; else
 * answers 401 or 403. Always true without the setting owner-rules, for jobs without a recorded
 * submitter, and for jobs that do not exist (the handler answers those). */
bool authorize_owner(struct call *c, struct text job_id, unsigned also);

#endif
