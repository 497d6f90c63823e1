/* Documents that keep the ids of the newest requests that changed them, in `requests`: the repeat
 * of one of these changes nothing. */
#ifndef WORKER_STORE_MONGO_ONCE_H
#define WORKER_STORE_MONGO_ONCE_H

#include "worker/store/mongo/doc.h"

/* An update pipeline. It sets the members of `changes`, an expression that makes a document, which
 * is taken, and notes the request; of a document that knows the request it changes nothing. */
bson_t *once_update(const char *request_id, bson_t *changes);

/* The expression of a document's requests with one more. */
bson_t *once_requests(const char *request_id);

/* Whether a document, read with its `requests`, was changed by this request. */
bool once_knows(const bson_t *doc, const char *request_id);

#endif
