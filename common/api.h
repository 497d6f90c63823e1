/* The endpoint table of api.def as C: operations, routes, and the match of a path against them. */
#ifndef COMMON_API_H
#define COMMON_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB ((size_t)1024 * 1024)

/* Body limits (bytes). A document of the store holds 16 MiB at most. */
#define BODY_DOCUMENT (16 * MIB)
#define BODY_MEDIUM   (4 * MIB)
#define BODY_SMALL    (64 * (size_t)1024)
#define BODY_IGNORED  (64 * (size_t)1024)
#define BODY_UPLOAD   SIZE_MAX /* the setting max-upload decides */

/* Larger bodies, and all of uploads, are asked for at a worker before they are read. */
#define BODY_UNASKED (64 * (size_t)1024)
#define ASK_GO_ON    202 /* status: the body is wanted */

#define TOO_LARGE_DEFAULT "Request Entity Too Large"
#define TOO_LARGE_RESULT  "Payload too large"

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_METHOD_COUNT_ };

enum service {
    SERVICE_LOCAL, /* the frontend itself */
    SERVICE_API,
    SERVICE_WEBHOOK,
    SERVICE_LOGIN, /* hashes secrets, which is slow: workers of their own, one request at a time */
    SERVICE_COUNT_
};

enum role { ROLE_ADMIN = 1, ROLE_MANAGER = 2, ROLE_CONTRIBUTOR = 4, ROLE_AGENT = 8 };
#define ROLES_ANYONE     0u
#define ROLES_USERS      (ROLE_ADMIN | ROLE_MANAGER | ROLE_CONTRIBUTOR)
#define ROLES_EVERY      (ROLES_USERS | ROLE_AGENT)
#define ROLES_AGENT_DATA (ROLE_ADMIN | ROLE_MANAGER | ROLE_AGENT)
#define ROLES_MANAGERS   (ROLE_ADMIN | ROLE_MANAGER)

/* Names of the roles, highest first, NULL-terminated. */
extern const char *const role_names[];

enum route_flags {
    ROUTE_BY_QUEUE = 1,
    ROUTE_GATHER = 2,
    ROUTE_UPLOAD = 4,
    ROUTE_GUARDED = 8,
    ROUTE_DOWNLOAD = 16,
    ROUTE_TEXT = 32,
    ROUTE_BY_JOB = 64,
    ROUTE_NO_STORE = 128,
    ROUTE_HOLDER = 256
};

enum op {
#define LOCAL(op, method, path, handler, summary)                                        op,
#define API(op, method, path, service, roles, limit, too_large, flags, handler, summary) op,
#include "common/api.def"
#undef LOCAL
#undef API
    OP_COUNT_
};

struct route {
    enum op op;
    const char *name; /* "OP_JOB_ADD" */
    enum http_method method;
    const char *path; /* placeholders as <name>, one segment each; "": none matches */
    enum service service;
    unsigned roles;
    size_t body_limit;
    const char *too_large;
    unsigned flags;
    const char *summary;
};

/* One row an operation, indexed by enum op. */
extern const struct route routes[OP_COUNT_];

#define ROUTE_PARAMS_MAX 2

/* A segment of a request path that stands where the route has a placeholder: raw, still encoded. */
struct route_param {
    const char *start;
    size_t len;
};

struct route_match {
    /* The route of each method that the path knows, NULL where it has none. */
    const struct route *by_method[HTTP_METHOD_COUNT_];
    struct route_param params[ROUTE_PARAMS_MAX];
    size_t params_len;
};

/* Matches an undecoded path (no query) against the table. One trailing slash is accepted.
 * Returns false when no row knows the path; *ret is then untouched. Pointers in *ret go into
 * `path`. */
bool route_match(const char *path, size_t len, struct route_match *ret);

/* The row of this name ("OP_JOB_ADD"), NULL: none. `name` need not end with a NUL. */
const struct route *route_named(const char *name, size_t len);

/* "GET"... of a method, static storage. */
const char *http_method_name(enum http_method m);

#endif
