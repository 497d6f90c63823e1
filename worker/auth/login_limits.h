/* Logging in by client id and secret: the header, the limits, the check. */
#ifndef WORKER_AUTH_LOGIN_LIMITS_H
#define WORKER_AUTH_LOGIN_LIMITS_H

#include "common/buf.h"
#include "worker/request/call.h"

/* Id and secret of an Authorization header of kind Basic. The texts point into `memory`. */
struct credentials {
    struct text client_id, secret;
    struct buf memory;
};

/* False: it is of another kind, or lacks one of them, or the id is no valid text. Free in any case;
 * the secret is wiped. */
bool credentials_read(struct text header, struct credentials *ret);
void credentials_free(struct credentials *k);

/* The address by which logins are counted. An IPv6 client controls a whole /64: its network. IPv4
 * in the form of IPv6 is IPv4. "" for what is none of these and too long. */
#define LOGIN_ADDRESS_SIZE 46
void login_address(struct text peer, char out[LOGIN_ADDRESS_SIZE]);

enum login_result {
    LOGIN_OK,
    LOGIN_WRONG,  /* unknown client, no secret, wrong secret */
    LOGIN_LOCKED, /* too many failures; nothing was checked */
    LOGIN_BUSY,   /* more logins than can be checked; nothing was */
    LOGIN_FAULT   /* of the store: answered */
};

/* Checks credentials and counts failures (docs/access-control.md, "Logins"). *ret_client, the
 * document, is set with LOGIN_OK; *ret_wait_s with LOGIN_LOCKED and LOGIN_BUSY. Writes the event of
 * a lock. */
enum login_result login_check(struct call *c, const struct credentials *k, json_t **ret_client,
                              int64_t *ret_wait_s) MUST_CHECK;

#endif
