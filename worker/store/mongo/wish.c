#include "worker/store/mongo/wish.h"

#include "worker/encoding/json_string.h"
#include "worker/jobs/claims.h"

void wish_fill(struct wish *w, const bson_t *job, bool counts)
{
    struct claim *c = w->claim;
    int64_t created_ms = doc_date(job, "created_at");

    c->job_id = doc_dup(job, "job_id");
    w->submitter = doc_dup(job, "submitter");
    c->data = doc_json(job, "job_data");
    if (!json_is_object(c->data)) {
        json_decref(c->data);
        c->data = json_object();
    }
    c->err = ERR_OK;
    const json_t *queue = json_object_get(c->data, "job_queue");
    if (counts)
        w->queue = json_string_text(queue);
    w->wait_s = created_ms ? claim_wait_s(created_ms, c->started_ms) : 0;
}
