/* Where a request is served: answered here, or forwarded to a worker. */
#ifndef FRONTEND_SERVE_H
#define FRONTEND_SERVE_H

#include "frontend/server.h"

/* evhttp_set_gencb: libevent has read a request's head. */
void serve_request(struct evhttp_request *req, void *server);

#endif
