/* All agents and queues, as several pages show them. */
#ifndef WORKER_WEB_LAB_H
#define WORKER_WEB_LAB_H

#include "worker/request/call.h"

/* Where an agent stands, as people ask for it. */
enum agent_group { AGENT_IDLE, AGENT_BUSY, AGENT_OFFLINE, AGENT_MAINTENANCE, AGENT_GROUPS };
extern const char *const agent_group_names[AGENT_GROUPS];

#define LAB_MAX       10000                      /* agents, and queues, that are read */
#define LAB_BYTES_MAX ((size_t)32 * 1024 * 1024) /* of agents, about */

struct lab {
    json_t *agents; /* owned: documents as agent_view_show() leaves them, by name */
    json_t *queues; /* owned: rows by name, each with all keys of queue_row() in lab.c */
    json_t *states; /* owned: {STATE: number of jobs} of those that agents have */
};

/* What a page needs. The rows of queues count the agents that are read. */
struct lab_wanted {
    struct text agent;   /* this one alone; s NULL: all */
    struct text queue;   /* the agents of this one; s NULL: all */
    bool without_queues; /* no queues, no states */
};

/* Call lab_free() in any case. ERR_NOT_FOUND: there is no such agent. */
enum err lab_read(struct call *c, struct lab_wanted wanted, struct lab *ret) MUST_CHECK;
void lab_free(struct lab *l);

/* The member of this name of a list of agents or rows; NULL: there is none. Borrowed. */
json_t *lab_find(const json_t *list, struct text name);

/* By state and mode; a silent agent is offline. */
enum agent_group agent_group_of(const json_t *agent);

/* Provisionings in a row that went the same way; negative: that failed; 0: none. */
int64_t agent_streak_of(const json_t *agent);

#endif
