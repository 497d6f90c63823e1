#include "worker/handlers/submitter.h"

#include "worker/encoding/json_string.h"

enum err submitter_client(struct store *s, struct text job_id, json_t **ret)
{
    json_t *submitter = NULL;
    enum err e = store_job_submitter(s, job_id, &submitter);
    struct text id = json_string_text(submitter);

    *ret = NULL;
    if (!e && id.s && (e = store_client_get(s, id, ret)) == ERR_NOT_FOUND)
        e = ERR_OK;
    json_decref(submitter);
    return e;
}
