/* BSON to jansson values and back, field by field, without a text form in between. Key order is
 * kept, NUL in strings too. Integers are written as int32 where they fit, else as int64. */
#ifndef WORKER_ENCODING_BSONJSON_H
#define WORKER_ENCODING_BSONJSON_H

#include "common/err.h"

#include <bson/bson.h>
#include <jansson.h>
#include <stdbool.h>

/* Nesting limit of a value: MongoDB allows 180 levels a document, some of which enclose it. */
#define BSONJSON_DEPTH_MAX 160

/* Appends one value. False: nested too deep, a NUL in a key, or past what BSON can hold; the
 * document is then of no use. */
bool bsonjson_append(bson_t *to, const char *key, size_t key_len, const json_t *value) MUST_CHECK;

/* Appends every member of an object. */
bool bsonjson_append_members(bson_t *to, const json_t *object) MUST_CHECK;

/* The value that an iterator stands on, as a new reference, never NULL. What JSON cannot express
 * becomes text (dates as RFC 3339 in whole seconds, ids and binary data in hex, UUIDs in their
 * form, decimals) or null (NaN, infinite numbers, values nested deeper than any server allows). */
json_t *bsonjson_value(const bson_iter_t *it);

#endif
