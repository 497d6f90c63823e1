/* Ids of documents made of the ids of jobs. A query by _id alone skips the server's planner, which
 * is nearly half of its work for a small document, so that our own documents are found by it. */
#ifndef WORKER_STORE_MONGO_OID_H
#define WORKER_STORE_MONGO_OID_H

#include "common/envelope.h"

#include <bson/bson.h>

/* 96 bits of a hash (SipHash-2-4, 128 bits as two of 64, fixed keys). Stored in databases: it must
 * never change. */
void oid_of_text(struct text t, bson_oid_t *ret);

#endif
