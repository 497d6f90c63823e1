/* The end of refresh tokens and sessions. */
#ifndef WORKER_HANDLERS_REFRESH_H
#define WORKER_HANDLERS_REFRESH_H

#include "worker/request/call.h"

/* Revokes a token that was found, and answers as POST /v1/oauth2/revoke does; a request that comes
 * again is answered as the first time. */
void refresh_revoke_found(struct call *c, const struct refresh_found *r);

#endif
