/* Document ids derived from job ids. A query by _id alone skips the server's planner, nearly half
 * of its work for a small document. */
#ifndef WORKER_STORE_MONGO_OID_H
#define WORKER_STORE_MONGO_OID_H

#include "common/envelope.h"

#include <bson/bson.h>

/* 96 bits of a hash (SipHash-2-4, 128 bits as two of 64, fixed keys). Stored in databases: never
 * change it. */
void oid_of_text(struct text t, bson_oid_t *ret);

#endif
