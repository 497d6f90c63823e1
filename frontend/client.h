/* Finds a connection's client: its peer, or the client that trusted proxies name, by the PROXY
 * protocol for the whole connection or by headers for one request. Limits by address, logs and
 * workers see the client. */
#ifndef FRONTEND_CLIENT_H
#define FRONTEND_CLIENT_H

#include "frontend/server.h"

struct request;

/* Call it after the accept. False: the address has its limit of connections. */
bool client_accepted(struct conn *c);

/* Reads the awaited PROXY header; `n` is at most what it wants. DONE: HTTP or TLS follows. BAD
 * (logged): the connection is closed in this turn of the loop. */
enum proxy2_result client_take_header(struct conn *c, const void *data, size_t n);

/* Call it for each request: sets its client. False: that address has its limit of connections. */
bool client_of_request(struct conn *c, struct evhttp_request *req);

/* Call it after the answer. */
void client_answered(struct conn *c);

/* Fills in the fields about the client for workers. Borrows from the connection. */
void client_complete(const struct conn *c, struct request *r);

/* The host that the client called; NULL: unknown. */
const char *client_host(const struct conn *c, struct evhttp_request *req);

void client_free(struct client *c);

#endif
