/* Starts to serve a request: answers it here, or forwards it to a worker. */
#ifndef FRONTEND_SERVE_H
#define FRONTEND_SERVE_H

#include "frontend/server.h"

/* evhttp_set_gencb: libevent has read a request's head. */
void serve_request(struct evhttp_request *req, void *server);

#endif
