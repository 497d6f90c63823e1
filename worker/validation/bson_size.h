/* The size of a JSON value as MongoDB stores it. */
#ifndef WORKER_VALIDATION_BSON_SIZE_H
#define WORKER_VALIDATION_BSON_SIZE_H

#include <jansson.h>
#include <stddef.h>

/* Bytes of the value in BSON; an object or array with its head. Its depth is that of a body,
 * JSON_DEPTH_LIMIT at most. */
size_t doc_bson_size(const json_t *value);

#endif
