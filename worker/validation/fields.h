/* Validation and coercion of JSON request bodies, driven by the tables of schemas.h. */
#ifndef WORKER_VALIDATION_FIELDS_H
#define WORKER_VALIDATION_FIELDS_H

#include <jansson.h>

/* A table of fields; how one is written is in fieldtable.h. */
struct schema;

enum schema_flags {
    /* Unknown names at the top level are kept as they are instead of refused (never those that the
     * schema reserves for the server). Nested objects refuse unknown names in any case. */
    SCHEMA_KEEP_UNKNOWN = 1
};

/* The most faults that one answer tells of; what is wrong beyond that is left out. */
#define SCHEMA_FAULTS_MAX 1000

/* Checks any JSON value against the schema and coerces it; `in` stays as it was and is borrowed.
 *
 * Returns a new reference to the coerced object: the known fields in the order of the schema, then
 * the unknown ones that are kept, in the order sent. Values that need no coercion, and free
 * objects, are not copied: they are shared with `in`, so neither should be changed in depth later.
 * Dates become integers (milliseconds since 1970), durations integers (seconds).
 *
 * Returns NULL when anything is wrong, with *ret_errors set to a new object FIELD -> [TEXT, ...],
 * nested for nested values, with all faults up to SCHEMA_FAULTS_MAX, known fields first; the caller
 * adds the location (`json`). *ret_errors is not touched on success.
 *
 * Strings may hold NUL characters, which survive. Names cannot: jansson refuses such bodies. The
 * depth of a value is limited by the schema; free objects are not walked. */
__attribute__((warn_unused_result)) json_t *schema_load(const struct schema *s, json_t *in,
                                                        unsigned flags, json_t **ret_errors);

/* Moves what SCHEMA_KEEP_UNKNOWN kept out of a loaded object, into a new one. */
json_t *schema_take_unknown(const struct schema *s, json_t *loaded);

#endif
