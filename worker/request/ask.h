/* Questions of frontends: whether a request whose body has not come yet would be taken. */
#ifndef WORKER_REQUEST_ASK_H
#define WORKER_REQUEST_ASK_H

#include "worker/request/call.h"

/* Where the call is a question, puts it to the row of the request that it is about, whose roles
 * count, and gives `r`, the call's request, the id of that request, which logs then show. */
void ask_resolve(struct call *c, struct request *r);

#endif
