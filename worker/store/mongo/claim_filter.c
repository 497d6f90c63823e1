/* Which jobs a claim may take. */
#include "worker/store/mongo/claim.h"

void claims_append_queues(bson_t *filter, const struct claim *c)
{
    bson_t in, list;
    char key[MONGO_INDEX_SIZE];

    if (c->queues_len == 1) {
        mongo_append_text(filter, "job_data.job_queue", c->queues[0]);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(filter, "job_data.job_queue", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (size_t i = 0; i < c->queues_len; i++)
        mongo_append_text(&list, mongo_index(i, key), c->queues[i]);
    bson_append_array_end(&in, &list);
    bson_append_document_end(filter, &in);
}

void claims_filter(bson_t *filter, const struct claim *c, bool exclude)
{
    bson_t child, list;

    BSON_APPEND_UTF8(filter, STATE_PATH, "waiting");
    claims_append_queues(filter, c);
    BSON_APPEND_DOCUMENT_BEGIN(filter, "job_data.attachments_status", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
    BSON_APPEND_NULL(&list, "0"); /* a missing field too */
    BSON_APPEND_UTF8(&list, "1", "complete");
    bson_append_array_end(&child, &list);
    bson_append_document_end(filter, &child);
    if (exclude && c->agent.s) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, "job_data.exclude_agents", &child);
        mongo_append_text(&child, "$ne", c->agent);
        bson_append_document_end(filter, &child);
    }
}
