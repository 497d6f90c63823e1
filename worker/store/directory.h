/* Store operations on what is known of queues and agents, and lists of jobs. Part of store.h, whose
 * rules and errors hold here too. Dates in results are text (RFC 3339, whole seconds). */
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

/* Takes the reference to a member of a list, of this name where it has one. False: the list is
 * full without it, no more are wanted; the reference is taken all the same. */
typedef bool list_take_fn(void *arg, struct text name, json_t *value);

/* Members of a list in the order of their names' bytes, those behind `after`. */
struct name_walk {
    struct text after; /* s NULL: from the first on */
    list_take_fn *take;
    void *arg;
};

/* A part of a list of jobs, in the order in which they were submitted. */
struct list_page {
    int64_t limit;     /* 1 to LIST_MAX */
    const char *after; /* the cursor where the last page ended; NULL: from the start */
    list_take_fn *take;
    void *arg;
    char next[LIST_CURSOR_SIZE]; /* out: the cursor for the next page; "": that was all */
};

enum search_states { SEARCH_ANY, SEARCH_LISTED, SEARCH_ACTIVE };

struct job_search {
    const json_t *tags; /* array of strings; empty: any job */
    bool all_tags;      /* else one of them will do */
    enum search_states which;
    const json_t *states; /* array of strings, for SEARCH_LISTED */
};

struct provision_entry {
    const char *request_id; /* a repeat finds its entry and does nothing */
    bool repeat;
    struct text agent;
    json_t *fields; /* job_id, exit_code, detail where it was sent; borrowed */
    bool failed;    /* for the streak of the agent */
};

#endif
