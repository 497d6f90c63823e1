/* Who a connection's client is: its peer, or whom trusted proxies name, by the PROXY protocol for
 * the whole connection, by headers for one request. Limits by address, logs and workers see the
 * client.
 */
#ifndef FRONTEND_CLIENT_H
#define FRONTEND_CLIENT_H

#include "common/err.h"
#include "frontend/forwarded.h"
#include "frontend/proxy2.h"

struct config;
struct conn;
struct request;
struct server;
struct evhttp_request;

#define CLIENT_HOST_MAX 261 /* a name of 255 bytes with its port */

/* The part of the server. */
struct proxies {
    struct forwarded_rules rules;
    bool protocol; /* connections of trusted proxies begin with a PROXY header */
};

/* The part of a connection. */
struct client {
    struct address address;     /* for the whole connection */
    bool relayed;               /* headers name the client of each request */
    const char *scheme;         /* of the request in hand: "http", "https", "": not known */
    struct proxy2 *header;      /* that is awaited; NULL: none */
    char host[CLIENT_HOST_MAX]; /* of the request in hand: as proxies name it; "": they do not */
};

/* Reads the settings; says on stderr, as `program`, what is wrong with them. */
enum err proxies_load(const char *program, const struct config *cfg,
                      struct proxies *ret) MUST_CHECK;

/* The connection is accepted. False: its address has as many as it may. */
bool client_accepted(struct conn *c);

/* Takes the PROXY header that is awaited; BAD: logged. `n` is at most what it wants. DONE: HTTP
 * follows. */
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
