/* What a broker is told about a request besides its key, so that it knows whose it is and what is
 * expensive without parsing the payload (docs/protocol.md). */
#ifndef FRONTEND_SUBJECT_H
#define FRONTEND_SUBJECT_H

#include "common/envelope.h"

/* A hash of the client's address, the same in all frontends: of an IPv6 address its /64, since a
 * client has all of it. Not 0; 0 when `address` is none. */
uint64_t subject_origin(struct text address);

/* A hash of the operation and its parameters (see BUS_SUBJECT_OP_SHIFT). */
uint32_t subject_of(const struct request *r);

#endif
