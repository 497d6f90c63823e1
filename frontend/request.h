/* What an HTTP request asks for: its route, and its parts as the envelope has them. */
#ifndef FRONTEND_REQUEST_H
#define FRONTEND_REQUEST_H

#include "common/envelope.h"
#include "frontend/head.h"

#include <event2/http.h>

enum request_kind {
    REQUEST_ROUTED,     /* route is set */
    REQUEST_OPTIONS,    /* a known path */
    REQUEST_REDIRECT,   /* doubled slashes: location is set */
    REQUEST_BAD_METHOD, /* a known path */
    REQUEST_UNKNOWN,    /* no such path */
    REQUEST_TOO_MANY    /* more than QUERY_MAX parameters */
};

/* The parsed request with the memory it points to. */
struct parsed {
    enum request_kind kind;
    const struct route *route; /* of the path and, where it has one, the method */
    struct request request;    /* all but id, received_us and body */
    char *location;            /* REQUEST_REDIRECT */
    char allow[64];            /* the Allow header of a known path */
    char *memory;              /* decoded texts */
};

/* Parses. `target` is the request's, with a NUL behind it; what the library knows as such is a
 * number of the intake's. `known` false: the method is none that HTTP has. request_parsed_free is
 * due in any case. */
void request_parse(struct evhttp_request *req, struct text target, bool known, struct parsed *ret);
void request_parsed_free(struct parsed *p);

#endif
