/* Events of a job as they are kept with it: what its agent posted; its changes of state. */
#ifndef WORKER_STORE_JOB_EVENTS_H
#define WORKER_STORE_JOB_EVENTS_H

#include "common/envelope.h"

#include <jansson.h>

/* Bounds of a job: so many events, and none is added once they have so many bytes (as compact JSON
 * on SQLite, as BSON on MongoDB). The first ones are kept, since agents post the whole list each
 * time. */
#define JOB_EVENTS_MAX   256
#define JOB_EVENTS_BYTES (64 * 1024)

/* Events to append to a job's. One that is there already (the same members) is not added again. */
struct job_events_post {
    struct text job_id;
    const json_t *events; /* array of job_events_fit(); borrowed */
    int max;              /* none is added to so many; 0: JOB_EVENTS_MAX */
};

/* Both oldest first, times in ms since 1970. */
struct job_events {
    json_t *posted;  /* out: array of {at, event}, perhaps `after`; owned by the caller */
    json_t *changes; /* out: array of {at, state, reason}; reason may be missing; likewise */
};

#endif
