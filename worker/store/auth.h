/* Access control: clients, restricted queues, refresh tokens, failed logins, the signing key and
 * the audit trail. Part of store.h, whose rules and errors apply. Times are ms since 1970. */
#ifndef WORKER_STORE_AUTH_H
#define WORKER_STORE_AUTH_H

#include "common/envelope.h"
#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A change of a client's document. */
struct client_put {
    struct text client_id;
    const json_t *fields; /* to set as whole values; null removes a field; borrowed */
    bool create;          /* a new client: ERR_CONFLICT when there is one of this id */
    const json_t *role;   /* else: it still has this role as it was read (NULL: none), or
                             ERR_CONFLICT; ERR_NOT_FOUND when it is gone */
    bool ends_tokens;     /* revoke its refresh tokens with the change */
    int64_t ended;        /* out: how many were */
};

#define REFRESH_ID_SIZE 32
/* Refresh tokens that were not used for this long are removed. */
#define REFRESH_KEPT_MS ((int64_t)7776000 * 1000)

/* A refresh token is stored as its SHA-256 in hex. Tokens that other tools stored as plain text are
 * found too. Sessions of browsers stand among them and end with them. */
struct refresh_new {
    struct text client_id;
    const char *digest;
    const char *binding; /* worker/clients/document.h */
    const char *family;  /* of the token that it replaces; NULL: starts a family */
    int64_t issued_ms, expires_ms;
    bool web; /* the session of a browser */
};

struct refresh_key {
    struct text token;  /* as the client sent it */
    const char *digest; /* of it */
};

#define REFRESH_BINDING_SIZE 72
#define REFRESH_FAMILY_SIZE  72

struct refresh_found {
    char id[REFRESH_ID_SIZE]; /* of the document */
    json_t *client_id;        /* string, new reference */
    bool revoked, web;
    int64_t issued_ms, expires_ms;
    char binding[REFRESH_BINDING_SIZE]; /* "": issued by an older release */
    char family[REFRESH_FAMILY_SIZE];   /* its own id where it started the family */
};

enum refresh_rotated {
    REFRESH_NEXT,   /* replaced */
    REFRESH_REUSED, /* it was replaced before the grace time; nothing is added */
    REFRESH_REVOKED /* it was revoked meanwhile; nothing is added */
};

/* Replaces a refresh token by the next one of its family. */
struct refresh_rotation {
    const char *id;
    const char *request_id;   /* its repeats may replace the token at any time */
    int64_t now_ms, grace_ms; /* others only within this time */
    struct refresh_new next;
};

/* Refresh tokens and sessions of a client that are valid, newest first. */
struct refresh_page {
    struct text client_id;
    const char *id;     /* this one alone; NULL: all */
    const char *before; /* id: only older ones; NULL: from the newest on */
    int64_t now_ms;
    int limit;
};

#define LOGIN_KEY_SIZE 96

/* Failed logins within a window, or a successful login that is remembered. */
struct login_count {
    char key[LOGIN_KEY_SIZE];
    int64_t count;
    int64_t until_ms; /* end of the window */
};

#define SIGNING_KEY_SIZE 65

#define AUDIT_ID_SIZE     64
#define AUDIT_ACTION_SIZE 32
#define AUDIT_MAX         100000 /* entries that SQLite keeps */

/* One entry of the audit trail. Texts without s are left out. */
struct audit_entry {
    char id[AUDIT_ID_SIZE]; /* sorts by time; the same in a repeat, which adds nothing */
    int64_t at_ms;
    struct text actor; /* the client id */
    const char *role;  /* "" when there is none */
    const char *action;
    struct text target;
    const json_t *detail; /* object, borrowed; NULL: none */
    struct text address;
};

struct audit_query {
    const char *before;                /* id: only older entries; NULL: from the newest on */
    struct text actor, target, action; /* only these; s NULL: any */
    int limit;
    bool *cut; /* out: more are left although fewer than `limit` came; false at first */
};

#endif
