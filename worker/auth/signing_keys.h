/* The signing keys of this process. */
#ifndef WORKER_AUTH_SIGNING_KEYS_H
#define WORKER_AUTH_SIGNING_KEYS_H

#include "worker/auth/token.h"
#include "worker/request/call.h"

#define KEY_MIN 32 /* bytes; HS256 is as strong as its key up to here */

/* Checks JWT_SIGNING_KEY at startup. False: unusable, reported on stderr. */
bool signing_keys_check(const struct config *cfg);

/* The keys of the setting or, where there is none, the one that the store keeps. They are read once
 * a process. */
enum err signing_keys_get(const struct call *c, const struct token_keys **ret) MUST_CHECK;

#endif
