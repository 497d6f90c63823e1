/* JSON bodies of requests (contract: a body of another media type, or none, counts as {}). */
#ifndef WORKER_HTTP_JSONBODY_H
#define WORKER_HTTP_JSONBODY_H

#include "worker/request/call.h"
#include "worker/validation/fields.h"

#define JSON_DEPTH_LIMIT 64

/* Parses the body of a request and loads it by the schema. Returns the coerced body, or NULL after
 * it has answered: 400 for anything that is not JSON; 422 for what the schema refuses, for more
 * than JSON_DEPTH_LIMIT levels, numbers beyond 64 bits and NUL in a name, which cannot be stored.
 */
json_t *json_body_load(struct call *c, const struct schema *s, unsigned flags);

/* The body as an object of any content, a new reference; NULL: it is none, and the call is
 * answered. */
__attribute__((warn_unused_result)) json_t *json_body_object(struct call *c);

#endif
