#include "worker/handlers/child_jobs.h"

#include "worker/auth/authorize.h"
#include "worker/clients/document.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/submitter.h"
#include "worker/jobs/states.h"
#include "worker/validation/job_id.h"

#include <stdlib.h>
#include <string.h>

bool child_jobs_only(const struct call *c)
{
    return c->cfg->auth != AUTH_OPEN && c->caller.role == ROLE_AGENT;
}

void child_jobs_refuse(struct call *c)
{
    authorize_refuse_role(c, route_roles(c->route));
}

/* Whether the caller speaks for the agent that runs the job. ERR_NOT_FOUND: it does not. */
static enum err holds(struct call *c, struct text job_id)
{
    struct job_holder h = {.job_id = job_id};
    struct job_read read = {.job_id = job_id, .part = RESULT_STATE};
    enum err e = store_job_holders(c->store, &h, 1);

    if (!e)
        e = h.err;
    if (!e &&
        (h.waits || !h.owner ||
         !authorize_speaks_for(c->caller.permissions, (struct text){h.owner, strlen(h.owner)})))
        e = ERR_NOT_FOUND;
    if (!e)
        e = store_results_get(c->store, &read, 1);
    if (!e)
        e = read.err;
    const char *state = json_string_value(json_object_get(read.value, "job_state"));
    if (!e && (!state || state_is_over(state)))
        e = ERR_NOT_FOUND;
    json_decref(read.value);
    free(h.owner);
    free(h.former);
    return e;
}

json_t *child_jobs_rights(struct call *c, const json_t *data)
{
    const json_t *parent = json_object_get(data, "parent_job_id");
    struct text id = json_string_text(parent);
    json_t *client = NULL, *rights = NULL;
    enum err e = id.s && job_id_valid(id.s, id.len) ? holds(c, id) : ERR_NOT_FOUND;

    if (!e)
        e = submitter_client(c->store, id, &client);
    if (!e)
        rights = client ? client_permissions(client, false) : json_object();
    else if (e == ERR_NOT_FOUND)
        child_jobs_refuse(c);
    else
        reply_err(c, e);
    json_decref(client);
    return rights;
}
