/* The schemas of bodies, as OpenAPI shows them. */
#ifndef WORKER_OPENAPI_SCHEMA_H
#define WORKER_OPENAPI_SCHEMA_H

#include "worker/validation/fields.h"

#include <stdbool.h>

/* The JSON schema of a body, as a new reference. It accepts all that the server takes: where values
 * are coerced ("5" is a number, too), the schema names each form. `open`: unknown names may be
 * added. */
json_t *openapi_schema(const struct schema *s, bool open);

#endif
