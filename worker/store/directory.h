/* Queues, agents and lists of jobs. Part of store.h, whose rules and errors apply. created_at and
 * updated_at in results are integers: milliseconds since the epoch. */
#ifndef WORKER_STORE_DIRECTORY_H
#define WORKER_STORE_DIRECTORY_H

#include "common/envelope.h"
#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LIST_MAX          50000 /* members of one list; more come with its next page */
#define PROVISION_LOG_MAX 100   /* entries kept of an agent's provision log */
#define LIST_CURSOR_SIZE  512

/* Takes the reference to a member of a list; `name` is empty where members have none. False: the
 * list is full, send no more; the reference is taken in any case. */
typedef bool list_take_fn(void *arg, struct text name, json_t *value);

/* Members of a list after `after`, ordered by the bytes of their names. */
struct name_walk {
    struct text after; /* s NULL: from the first on */
    list_take_fn *take;
    void *arg;
};

/* A page of a list of jobs, in the order of submission; of jobs_list: newest first, unless `up`. */
struct list_page {
    int64_t limit;     /* 1 to LIST_MAX */
    bool up;           /* jobs_list: oldest first */
    const char *after; /* cursor of the page before; NULL: from the start */
    list_take_fn *take;
    void *arg;
    char next[LIST_CURSOR_SIZE];  /* out: cursor for the next page; "": this was the last */
    char first[LIST_CURSOR_SIZE]; /* out, jobs_list: cursor of what stands before the first job,
                                     with the other `up`; "": there was none */
};

/* An agent to read. */
struct agent_read {
    struct text name;
    json_t *agent; /* out: new reference; NULL: it was not read */
    enum err err;  /* out; ERR_NOT_FOUND: no such agent */
};

enum search_states { SEARCH_ANY, SEARCH_LISTED, SEARCH_ACTIVE };

struct job_search {
    const json_t *tags; /* array of strings; empty: any job */
    bool all_tags;      /* false: one of them is enough */
    enum search_states which;
    const json_t *states;  /* array of strings, for SEARCH_LISTED */
    struct text submitter; /* client id; s NULL: anybody's */
};

/* Which jobs a list shows: those that all of these fit. */
struct job_filter {
    const json_t *tags; /* array of strings: it has each of them */
    enum search_states which;
    const json_t *states;                /* as in struct job_search */
    struct text queue, agent, submitter; /* s NULL: any */
    int64_t since_ms, until_ms;          /* created_at: from, and before */
};
#define JOBS_SHOWN_MAX 1000                        /* jobs of one jobs_show */
#define LIST_LOOK_MAX  10000                       /* jobs that one page looks at, about */
#define LIST_BYTES_MAX ((int64_t)16 * 1024 * 1024) /* of their data that it reads */

struct provision_entry {
    const char *request_id;
    struct text agent;
    json_t *fields; /* job_id, exit_code, optional detail; borrowed */
    bool failed;    /* counts for the agent's streak of failures */
};

#endif
