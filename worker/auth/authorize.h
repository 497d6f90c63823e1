/* The gate before every handler: who calls, and whether the role may (docs/access-control.md). */
#ifndef WORKER_AUTH_AUTHORIZE_H
#define WORKER_AUTH_AUTHORIZE_H

#include "worker/request/call.h"

/* Fills c->caller. Answers the call when its token or role is refused; handlers then do not run. In
 * the open mode only routes with ROUTE_GUARDED are refused: elsewhere a token that is not valid is
 * as good as none, until a handler needs one. */
void authorize_pass(struct call *c);

/* Whether these permissions of a token are those of a client that speaks for the agent: by its own
 * name, or by the list of its document. */
bool authorize_speaks_for(const json_t *permissions, struct text agent);

/* Whether the caller, unless it is a manager or an admin, may speak for the agent of this name;
 * else answers. A setting (agent-identity) decides whether that is looked at. */
bool authorize_agent(struct call *c, struct text agent);

/* Whether the caller may do to this job what only its owner, managers and admins may, and tokens of
 * the role `also`; else answers. A setting (owner-rules) decides whether that is looked at. A job
 * that nobody is known to have submitted belongs to everyone; so does one that does not exist,
 * which the handler finds out. */
bool authorize_owner(struct call *c, struct text job_id, unsigned also);

#endif
