/* One request on its way: from the HTTP library to the bus and back. It may outlive its client. */
#ifndef FRONTEND_EXCHANGE_H
#define FRONTEND_EXCHANGE_H

#include "frontend/conn.h"

/* evhttp_set_gencb: serves a request. */
void exchange_begin(struct evhttp_request *req, void *server);

/* The connection is about to be freed. */
void exchange_client_gone(struct exchange *x);

#endif
