/* The bodies that the API accepts. */
#ifndef WORKER_VALIDATION_SCHEMAS_H
#define WORKER_VALIDATION_SCHEMAS_H

#include "worker/validation/fields.h"

#include <stdbool.h>

#define SECRET_BYTES_MAX   128000                /* of a value: an environment variable of Linux */
#define SECRET_SECONDS_MAX ((int64_t)3155760000) /* until a secret expires: 100 years */

extern const struct schema schema_job;         /* POST /v1/job */
extern const struct schema schema_jobs_cancel; /* POST /v1/jobs/cancel */
extern const struct schema schema_action; /* POST /v1/job/<job_id>/action, --compat reference */
extern const struct schema schema_more_actions;    /* POST /v1/job/<job_id>/action */
extern const struct schema schema_events;          /* POST /v1/job/<job_id>/events */
extern const struct schema schema_result;          /* POST /v1/result/<job_id> */
extern const struct schema schema_log_fragment;    /* POST /v1/result/<job_id>/log/<log_type> */
extern const struct schema schema_agent;           /* POST /v1/agents/data/<agent_name> */
extern const struct schema schema_agent_reference; /* the same, --compat reference */
extern const struct schema schema_provision_log;   /* POST /v1/agents/provision_logs/<agent_name> */
extern const struct schema schema_refresh;         /* POST /v1/oauth2/refresh, revoke */
extern const struct schema schema_restricted;      /* POST, DELETE /v1/restricted-queues/<queue> */
extern const struct schema schema_pause;           /* POST /v1/queues/<queue>/pause, resume */
extern const struct schema schema_secret;          /* PUT /v1/secrets/<client_id>/<path> */
extern const struct schema schema_client;          /* PUT /v1/client-permissions/<client_id> */

/* Whether a job waits for files before it is handed out: some field whose name ends in `_data` is
 * an object that has the name `attachments`, whatever the value. */
bool job_wants_attachments(json_t *job_data);

#endif
