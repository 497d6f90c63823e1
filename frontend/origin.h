/* Refuses requests that a web page makes through a visitor's browser where callers need no token:
 * from another site's page (cross-site request forgery), or by a host name that an attacker can
 * point at this server (DNS rebinding). Clients that send none of a browser's headers are not
 * checked. docs/access-control.md describes the rules. */
#ifndef FRONTEND_ORIGIN_H
#define FRONTEND_ORIGIN_H

#include "common/config.h"

#include <stdbool.h>

struct origin_rules {
    bool cross_site;           /* refuse requests of other sites' pages */
    bool own_names;            /* refuse browsers that use a foreign host name */
    const char *allowed_hosts; /* the setting: names that are the server's own */
};

/* The parts of a request that decide; NULL: the request does not have it. */
struct origin_request {
    const char *host;   /* as the browser used it: a trusted proxy's X-Forwarded-Host goes first */
    const char *scheme; /* "http" or "https", where it is known how the browser called */
    const char *origin, *fetch_site, *fetch_mode, *fetch_dest, *accept_language, *user_agent;
    bool get;     /* GET or HEAD */
    bool changes; /* false for a GET that only reads */
    bool action;  /* a form of a web page: a cookie or the network may give it its rights, so the
                     rule about sites holds in every mode */
};

/* The rules that follow from the settings. `is_public`: other machines reach the listening socket.
 * Borrows from `cfg`. */
struct origin_rules origin_rules(const struct config *cfg, bool is_public);

/* NULL: serve the request. Else the reason for 403, static text. */
const char *origin_refusal(const struct origin_rules *rules, const struct origin_request *r);

#endif
