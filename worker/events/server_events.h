/* Webhook events that the server sends itself, for jobs that it ended without an agent. */
#ifndef WORKER_EVENTS_SERVER_EVENTS_H
#define WORKER_EVENTS_SERVER_EVENTS_H

#include "worker/store/store.h"

struct server_event {
    const char *job_id;
    const char *agent;   /* the last holder; may be NULL */
    const char *queue;   /* may be NULL */
    const char *webhook; /* the job's job_status_webhook; nothing is sent when it is NULL or
                            not allowed by the settings */
    const char *event;   /* its name, "job_end" */
    const char *detail;
};

/* With the setting webhook-server-events, adds the event to the outbox, from which the webhook
 * worker delivers it. Failures are only logged: the event is lost. */
void server_events_send(const struct config *cfg, struct store *s, const struct server_event *n);

/* Sends job_end for a job that was cancelled because it waited too long. */
void server_events_expired(const struct config *cfg, struct store *s, const char *job_id);

/* Data of a waiting job for server_events_cancelled, read before the job is cancelled. `data` is
 * NULL when the job does not wait or server events are off. Call server_events_free(). */
struct server_events_job {
    json_t *data;
};
void server_events_look(const struct config *cfg, struct store *s, struct text job_id,
                        struct server_events_job *ret);
void server_events_free(struct server_events_job *j);

/* Sends job_end for a job that was cancelled while it waited. */
void server_events_cancelled(const struct config *cfg, struct store *s, struct text job_id,
                             const struct server_events_job *j);

#endif
