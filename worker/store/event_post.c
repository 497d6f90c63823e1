#include "worker/store/event_post.h"

#include "common/random.h"

#include <stdlib.h>

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
    random_uuid_text(out);
}
