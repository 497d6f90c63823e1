/* Events that the server itself sends: of jobs that it ended while no agent was there to tell. */
#ifndef WORKER_EVENTS_SERVER_EVENTS_H
#define WORKER_EVENTS_SERVER_EVENTS_H

#include "worker/store/store.h"

struct server_event {
    const char *job_id;
    const char *agent;   /* that had it; may be NULL */
    const char *queue;   /* may be NULL */
    const char *webhook; /* the job's job_status_webhook; NULL or a URL that no event goes to:
                            nothing is sent */
    const char *event;   /* its name, "job_end" */
    const char *detail;
};

/* Puts the event into the outbox, where the setting webhook-server-events says so; the webhook
 * worker finds it there. A failure is logged and otherwise does no harm. */
void server_events_send(const struct config *cfg, struct store *s, const struct server_event *n);

/* Tells that this job was cancelled because it waited for too long. */
void server_events_expired(const struct config *cfg, struct store *s, const char *job_id);

/* What a notice must know of a job that waits: nothing (data NULL) where it does not wait, or
 * nobody wants to know. server_events_free is due. */
struct server_events_job {
    json_t *data;
};
void server_events_look(const struct config *cfg, struct store *s, struct text job_id,
                        struct server_events_job *ret);
void server_events_free(struct server_events_job *j);

/* Tells that this job was cancelled while it waited. */
void server_events_cancelled(const struct config *cfg, struct store *s, struct text job_id,
                             const struct server_events_job *j);

#endif
