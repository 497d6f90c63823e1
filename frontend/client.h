/* Who a connection's client is: its peer, or whom trusted proxies name, by the PROXY protocol for
 * the whole connection, by headers for one request. Limits by address, logs and workers see the
 * client.
 */
#ifndef FRONTEND_CLIENT_H
#define FRONTEND_CLIENT_H

#include "frontend/server.h"

struct request;

/* The connection is accepted. False: its address has as many as it may. */
bool client_accepted(struct conn *c);

/* Takes the PROXY header that is awaited; `n` is at most what it wants. DONE: HTTP or TLS follows.
 * BAD (logged): the connection is closed in this turn of the loop. */
enum proxy2_result client_take_header(struct conn *c, const void *data, size_t n);

/* A request has come: finds out whose it is. False: that address has as many connections as it may.
 */
bool client_of_request(struct conn *c, struct evhttp_request *req);

/* The request is answered. */
void client_answered(struct conn *c);

/* Fills in what workers learn of the client. Borrows from the connection. */
void client_complete(const struct conn *c, struct request *r);

/* The host that the client called; NULL: not known. */
const char *client_host(const struct conn *c, struct evhttp_request *req);

void client_free(struct client *c);

#endif
