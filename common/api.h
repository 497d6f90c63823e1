/* Routes: what a row of common/api.def says, and the match of a path against the table. */
#ifndef COMMON_API_H
#define COMMON_API_H

#include "common/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB ((size_t)1024 * 1024)

/* Body limits (bytes). A document of the store holds 16 MiB at most. */
#define BODY_DOCUMENT (16 * MIB)
#define BODY_MEDIUM   (4 * MIB)
#define BODY_SMALL    (64 * (size_t)1024)
#define BODY_IGNORED  (64 * (size_t)1024)
#define BODY_UPLOAD   SIZE_MAX /* the setting max-upload is the limit */

/* A frontend asks a worker (OP_ASK) before it reads a larger body, and before any upload. */
#define BODY_UNASKED (64 * (size_t)1024)
#define ASK_GO_ON    202 /* status: read the body */

#define TOO_LARGE_DEFAULT "Request Entity Too Large"
#define TOO_LARGE_RESULT  "Payload too large"

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_METHOD_COUNT_ };

enum service {
    SERVICE_LOCAL, /* answered by the frontend */
    SERVICE_API,
    SERVICE_WEBHOOK,
    SERVICE_LOGIN, /* bcrypt is slow: workers of their own, one request at a time */
    SERVICE_COUNT_
};

/* Bits of a set of roles; the set 0 allows nobody. */
enum role { ROLE_ADMIN = 1, ROLE_MANAGER = 2, ROLE_CONTRIBUTOR = 4, ROLE_AGENT = 8 };
#define ROLES_ANYONE     16u /* no token is needed */
#define ROLES_USERS      (ROLE_ADMIN | ROLE_MANAGER | ROLE_CONTRIBUTOR)
#define ROLES_EVERY      (ROLES_USERS | ROLE_AGENT)
#define ROLES_AGENT_DATA (ROLE_ADMIN | ROLE_MANAGER | ROLE_AGENT)
#define ROLES_MANAGERS   (ROLE_ADMIN | ROLE_MANAGER)

/* Names of the roles, highest first, NULL-terminated. */
extern const char *const role_names[];

enum route_flags {
    /* Requests with the same first `queue` parameter run one bundle at a time, in order. */
    ROUTE_BY_QUEUE = 1,
    /* The handler takes all requests of its row in a bundle in one call. */
    ROUTE_GATHER = 2,
    /* The body goes to a temporary file, up to max-upload. The handler gets only the facts
     * (common/file.h) and answers whether to store it. */
    ROUTE_UPLOAD = 4,
    /* The roles count in the open mode too: otherwise any client could grant itself permissions. */
    ROUTE_GUARDED = 8,
    /* The handler answers with the file's info; the frontend then reads the file in pieces. */
    ROUTE_DOWNLOAD = 16,
    /* The body is plain text, not JSON. */
    ROUTE_TEXT = 32,
    /* Requests about the same job (first parameter of the path) run one bundle at a time, in order.
     */
    ROUTE_BY_JOB = 64,
    /* The answers hold tokens: Cache-Control: no-store. */
    ROUTE_NO_STORE = 128,
    /* With the setting agent-identity, an agent's token must belong to the agent that holds the
     * claim of the job (first parameter of the path). */
    ROUTE_HOLDER = 256,
    /* A GET that changes the store. */
    ROUTE_TAKES = 512,
    /* The answer may be the first part of a long one: the frontend then fetches the others by
     * OP_LOG_PART (common/file.h). */
    ROUTE_PARTS = 1024,
    /* The last placeholder takes all the rest of the path, slashes too. */
    ROUTE_TAIL = 2048,
    /* The answer is the place at which the stream of a job's events begins; the frontend then sends
     * the events as they come, which it gets by OP_FOLLOW_LOOK (common/follow.h). */
    ROUTE_FOLLOW = 4096
};

/* A row of the table. All are static: pointers stay valid, and equal pointers mean the same row. */
struct route;

/* The row of an operation (enum op); NULL: none. */
const struct route *route_of(unsigned op);

/* The row with this number on the bus; NULL: this release has none. O(1). */
const struct route *route_of_wire(unsigned wire);

/* The row of this name ("OP_JOB_ADD"); NULL: none. `name` need not end with a NUL. */
const struct route *route_named(const char *name, size_t len);

/* Fields of the row; texts have static storage. */
unsigned route_op(const struct route *r);
unsigned route_wire(const struct route *r);    /* number on the bus; 0: a LOCAL row */
const char *route_name(const struct route *r); /* "OP_JOB_ADD" */
const char *route_path(const struct route *r); /* "": only frontends make this request */
enum http_method route_method(const struct route *r);
enum service route_service(const struct route *r);
unsigned route_roles(const struct route *r);
size_t route_body_limit(const struct route *r); /* bytes; 0: takes no body */
const char *route_too_large(const struct route *r);
unsigned route_flags(const struct route *r);
const char *route_summary(const struct route *r);
bool route_is_web(const struct route *r);      /* a PAGE, ACTION or ASSET row: for people */
const char *route_page(const struct route *r); /* name of its template; NULL: none */

/* Whether requests of the row may change the store. */
bool route_writes(const struct route *r);

/* From now on this process matches no path to rows of the web interface. */
void routes_hide_web(void);

/* Whether a path may be one of the web interface: it is switched on, and the path is not below that
 * of the API. */
bool route_web_path(struct text path);

#define ROUTE_PARAMS_MAX 2

/* The segment of a request path at a placeholder of the route: raw, still encoded. */
struct route_param {
    const char *start;
    size_t len;
};

struct route_match {
    /* The route of each method that the path knows, NULL where it has none. */
    const struct route *by_method[HTTP_METHOD_COUNT_];
    struct route_param params[ROUTE_PARAMS_MAX];
    size_t params_len;
    bool tail; /* the last one is the rest of the path (ROUTE_TAIL) */
};

/* Matches an undecoded path (no query) against the table. One trailing slash is accepted.
 * Returns false when no row knows the path; *ret is then untouched. Pointers in *ret go into
 * `path`. */
bool route_match(const char *path, size_t len, struct route_match *ret);

/* "GET"... of a method, static storage. */
const char *http_method_name(enum http_method m);

#endif
