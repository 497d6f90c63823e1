/* Which agents are online. */
#ifndef WORKER_EVENTS_ONLINE_H
#define WORKER_EVENTS_ONLINE_H

#include "worker/store/store.h"

/* Who serves a queue. */
struct queue_agents {
    const json_t *except; /* in: names (array) of agents that do not count; NULL: none */
    bool served;          /* out: by any other agent */
    bool online;          /* out: one of them is online */
};

/* Looks for an agent of the queue that is online: in no mode but ONLINE, not offline, restarting or
 * in maintenance by its own word, and heard of, or with a job: while a device is provisioned or
 * reserved, its agent need not call. */
enum err online_look(struct store *s, struct text queue, struct queue_agents *q) MUST_CHECK;

#endif
