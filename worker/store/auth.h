/* Store operations of access control: clients, restricted queues, refresh tokens, failed logins,
 * the signing key and the audit trail. Part of store.h, whose rules and errors hold here too. Times
 * are milliseconds since 1970 unless said otherwise. */
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
    const json_t *fields; /* to set, whole values; null removes the field; borrowed */
    bool create;          /* a new client: ERR_CONFLICT when there is one of this id */
    const json_t *role;   /* else: it still has this role as it was read (NULL: none), or
                             ERR_CONFLICT; ERR_NOT_FOUND when it is gone */
    bool ends_tokens;     /* its refresh tokens are revoked with the change */
    int64_t ended;        /* out: how many were */
};

#define REFRESH_ID_SIZE 32
/* Documents that were not used for this long are removed. */
#define REFRESH_KEPT_MS ((int64_t)7776000 * 1000)

/* A refresh token is stored as its SHA-256 in hex. Existing tools have stored tokens as they are:
 * those are found too. */
struct refresh_new {
    struct text client_id;
    const char *digest;
    const char *binding; /* worker/clients/document.h */
    const char *family;  /* that of the token in whose place it comes; NULL: the first of one */
    int64_t issued_ms, expires_ms;
};

struct refresh_key {
    struct text token;  /* as the client has it */
    const char *digest; /* of it */
};

#define REFRESH_BINDING_SIZE 72
#define REFRESH_FAMILY_SIZE  72

struct refresh_found {
    char id[REFRESH_ID_SIZE]; /* of the document */
    json_t *client_id;        /* string, new reference */
    bool revoked;
    int64_t issued_ms, expires_ms;
    char binding[REFRESH_BINDING_SIZE]; /* "": an older release issued it */
    char family[REFRESH_FAMILY_SIZE];   /* its own name where it is the first of one */
};

enum refresh_rotated {
    REFRESH_NEXT,   /* the new token takes its place */
    REFRESH_REUSED, /* it gave way to another longer than the grace time ago; nothing is added */
    REFRESH_REVOKED /* it was revoked meanwhile; nothing is added */
};

/* A refresh token that gives way to a new one of its family. */
struct refresh_rotation {
    const char *id;
    int64_t now_ms, grace_ms; /* used again within it, it gives way to one more */
    struct refresh_new next;
};

#define LOGIN_KEY_SIZE 96

/* A count of failed logins within a window, or what is kept of one that worked. */
struct login_count {
    char key[LOGIN_KEY_SIZE];
    int64_t count;
    int64_t until_ms; /* end of the window */
};

#define SIGNING_KEY_SIZE 65

#define AUDIT_ID_SIZE 64
#define AUDIT_MAX     100000 /* entries kept, by the embedded store */

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
    const char *before;                /* an id: only older entries; NULL: from the newest on */
    struct text actor, target, action; /* only these; s NULL: any */
    int limit;
    bool *
        cut; /* out: there are further ones, although fewer than `limit` came; it begins as false */
};

#endif
