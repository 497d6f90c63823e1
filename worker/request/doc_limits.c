#include "worker/request/doc_limits.h"

#include "worker/request/answer.h"
#include "worker/validation/bson_size.h"

/* The most bytes that one byte of a body becomes. In BSON each number of "[1,1,1" takes 13 bytes:
 * type, position as text, int32. In an answer "0.1," becomes "0.10000000000000001, ". */
#define GROWTH_MAX 8

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
