#include "worker/validation/bson_size.h"

#include <stdint.h>

/* Digits of the positions of an array, with the NUL behind each. */
static size_t positions_size(size_t n)
{
    size_t size = n, digits = 1;

    for (size_t from = 0, end = 10; from < n; from = end, end *= 10, digits++)
        size += ((end < n ? end : n) - from) * digits;
    return size;
}

size_t doc_bson_size(const json_t *value)
{
    json_t *v = (json_t *)(uintptr_t)value; /* jansson's iterators take no const object */
    json_t *member;
    size_t size = 5, i; /* length and NUL of a document */
    void *at;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        for (at = json_object_iter(v); at; at = json_object_iter_next(v, at))
            size += 2 + json_object_iter_key_len(at) + doc_bson_size(json_object_iter_value(at));
        return size;
    case JSON_ARRAY:
        json_array_foreach (v, i, member)
            size += 1 + doc_bson_size(member);
        return size + positions_size(json_array_size(v));
    case JSON_STRING:
        return 5 + json_string_length(value);
    case JSON_INTEGER:
        return json_integer_value(value) >= INT32_MIN && json_integer_value(value) <= INT32_MAX ? 4
                                                                                                : 8;
    case JSON_REAL:
        return 8;
    case JSON_TRUE:
    case JSON_FALSE:
        return 1;
    case JSON_NULL:
        break;
    }
    return 0;
}
