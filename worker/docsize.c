#include "worker/docsize.h"

#include "common/bus.h"
#include "worker/answer.h"

/* The most bytes that one byte of a body becomes. In BSON each number of "[1,1,1" takes 13 bytes:
 * type, position as text, int32. In an answer "0.1," becomes "0.10000000000000001, ". */
#define GROWTH_MAX 8

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

struct doc_size doc_size_of(const json_t *value)
{
    return (struct doc_size){.json = json_dumpb(value, NULL, 0, ANSWER_JSON),
                             .bson = doc_bson_size(value)};
}

bool doc_fits(struct call *c, const json_t *value, size_t max)
{
    if (c->request->body.len < max / GROWTH_MAX)
        return true;
    struct doc_size size = doc_size_of(value);
    size_t most = size.json > size.bson ? size.json : size.bson;
    if (most <= max)
        return true;
    reply_error(c, 413, "The document has %zu bytes as it is stored or read, %zu are allowed", most,
                max);
    return false;
}

size_t doc_job_max(const struct config *cfg)
{
    return (size_t)cfg->max_document - DOCUMENT_ROOM - RESULT_ROOM;
}
