/* Parses an HTTP request: its route, and its parts in the form of the envelope. */
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
    bool web;                  /* the path is none of the API */
    bool page;                 /* the path is one of the web pages */
    char *memory;              /* decoded texts */
};

/* The method, for metrics: enum metric_method. */
unsigned request_method(struct evhttp_request *req);

/* Parses a request. `target` is the client's, NUL-terminated; the library only knows a number of
 * the intake's. `known` false: not a method of HTTP. Call request_parsed_free in any case. */
void request_parse(struct evhttp_request *req, struct text target, bool known, struct parsed *ret);
void request_parsed_free(struct parsed *p);

#endif
