/* What a request's header tells the broker besides the key: whose the request is, and which
 * requests cost alike, so that the broker need not parse the payload (docs/protocol.md). */
#ifndef FRONTEND_SUBJECT_H
#define FRONTEND_SUBJECT_H

#include "common/envelope.h"

/* Hash of the client's address (IPv6: its /64), equal in all frontends; 0: `address` is none. */
uint64_t subject_origin(struct text address);

/* Hash of the operation and its parameters (see BUS_SUBJECT_OP_SHIFT). */
uint32_t subject_of(const struct request *r);

#endif
