/* Agents as they are shown: their documents with restricted queues and mode. */
#ifndef WORKER_HANDLERS_AGENTS_VIEW_H
#define WORKER_HANDLERS_AGENTS_VIEW_H

#include "worker/http/dates.h"

/* What is shown of agents besides their documents. */
struct agent_view {
    const json_t *restricted; /* of restrictions_get() */
    json_t *holds;            /* owned: of agents */
    enum dates dates;
    const struct config *cfg;
};

/* Reads all but the dates, of one agent or (s NULL) of all. Call agent_view_free() in any case. */
enum err agent_view_load(struct call *c, struct text agent, struct agent_view *ret) MUST_CHECK;
void agent_view_free(struct agent_view *view);

/* Adds restricted_to (the agent's restricted queues, each with the clients that may submit to it)
 * and the mode. Takes and returns the agent; the `show` of a listing whose `arg` is the view. */
json_t *agent_view_show(void *view, json_t *agent);

#endif
