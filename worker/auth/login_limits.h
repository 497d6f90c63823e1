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

/* False: not Basic, id or secret missing, or the id is not valid UTF-8. Call credentials_free() in
 * any case: it wipes the secret. */
bool credentials_read(struct text header, struct credentials *ret);
void credentials_free(struct credentials *k);

/* The address by which failures are counted: IPv4, also when IPv4-mapped; IPv6 by its /64 prefix,
 * which one client controls. Other texts stay as they are, "" when too long. */
#define LOGIN_ADDRESS_SIZE 46
void login_address(struct text peer, char out[LOGIN_ADDRESS_SIZE]);

enum login_result {
    LOGIN_OK,
    LOGIN_WRONG,  /* unknown client, no secret, wrong secret */
    LOGIN_LOCKED, /* too many failures; nothing was checked */
    LOGIN_BUSY,   /* overload; nothing was checked */
    LOGIN_FAULT   /* store error; the call is answered */
};

/* Checks credentials and counts failures (docs/access-control.md, "Logins"). *ret_client, the
 * document, is set with LOGIN_OK; *ret_wait_s with LOGIN_LOCKED and LOGIN_BUSY. Writes the event of
 * a lock. */
enum login_result login_check(struct call *c, const struct credentials *k, json_t **ret_client,
                              int64_t *ret_wait_s) MUST_CHECK;

#endif
