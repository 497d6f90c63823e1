/* Strings of JSON. */
#ifndef WORKER_ENCODING_JSON_STRING_H
#define WORKER_ENCODING_JSON_STRING_H

#include "common/text.h"

#include <jansson.h>

/* The text of a string, which owns it; s NULL for any other value and for NULL. */
static inline struct text json_string_text(const json_t *value)
{
    return (struct text){json_string_value(value), json_string_length(value)};
}

#endif
