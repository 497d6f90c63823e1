#include "worker/store/event_post.h"

#include <stdlib.h>
#include <uuid/uuid.h>

void event_post_free(struct event_post *p)
{
    if (!p)
        return;
    free(p->job_id);
    free(p->url);
    free(p->body);
    json_decref(p->events);
    free(p);
}

void event_token(char out[OUTBOX_TOKEN_SIZE])
{
    uuid_t id;

    uuid_generate_random(id);
    uuid_unparse_lower(id, out);
}
