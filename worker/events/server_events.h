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
    const char *id; /* UUID text that a repeat has too; NULL: there are no repeats */
};

/* With the setting webhook-server-events, adds the event to the outbox, from which the webhook
 * worker delivers it. Failures are only logged: the event is lost. */
void server_events_send(const struct config *cfg, struct store *s, const struct server_event *n);

/* Adds an event about a running job to those that are kept with it, unless it has many, and sends
 * it likewise. */
void server_events_tell(const struct config *cfg, struct store *s, const struct server_event *n);

/* Sends job_end for a job that was cancelled because it waited too long. */
void server_events_expired(const struct config *cfg, struct store *s, const char *job_id,
                           const char *reason);

/* Sends job_end for each of n jobs that a request cancelled while they waited. An event's id is
 * derived from those of request and job, so a repeat of the request adds no second one. */
void server_events_cancelled(const struct config *cfg, struct store *s,
                             const struct job_cancel *cancels, size_t n);

#endif
