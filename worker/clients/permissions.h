/* What a job may ask for, by the permissions of its submitter. Pure: no store, no request. */
#ifndef WORKER_CLIENTS_PERMISSIONS_H
#define WORKER_CLIENTS_PERMISSIONS_H

#include "common/envelope.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A reservation that is longer needs a permission (seconds). */
#define RESERVATION_FREE    21600
#define RESERVATION_DEFAULT 3600

struct job_wish {
    struct text queue;
    bool restricted; /* the queue is one of the restricted ones */
    int64_t priority;
    int64_t reservation; /* seconds; 0 when nothing is reserved */
};

struct job_refusal {
    int status; /* 401: permissions are needed; 403: they do not reach */
    char text[1024];
};

/* Whether the job asks for anything that needs permissions. */
bool permissions_needed(const struct job_wish *w);

/* Whether the job may have what it asks for. `permissions` are those of a token; NULL or {}: there
 * are none. False: *ret says why. */
bool permissions_allow(const json_t *permissions, const struct job_wish *w,
                       struct job_refusal *ret);

/* Seconds that a reservation on the queue may last. `permissions` may be NULL. */
int64_t permissions_reservation_max(const json_t *permissions, struct text queue);

/* Whether allowed_queues names the queue. */
bool permissions_allow_queue(const json_t *permissions, struct text queue);

#endif
