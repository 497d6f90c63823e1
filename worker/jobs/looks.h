/* Bounds the search of a claim when many waiting jobs exclude its agent. A claim looks at the first
 * LOOK_JOBS jobs, then at as many after the place where the last such claim ended. So each claim is
 * short, and a few claims reach a job behind any number of others. */
#ifndef WORKER_JOBS_LOOKS_H
#define WORKER_JOBS_LOOKS_H

#include "common/err.h"
#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

#define LOOK_JOBS 1000 /* jobs in one look */

/* A job's place in the order of claims: by priority (high to low), creation, number. */
struct job_place {
    int64_t priority; /* JOB_PLACE_LAST: no priority; only jobs of other servers */
    int64_t created;  /* in the back end's unit */
    int64_t id;       /* 0 if the back end orders by creation alone */
};
#define JOB_PLACE_LAST INT64_MIN

bool job_place_before(const struct job_place *a, const struct job_place *b);

/* Ends of earlier looks, by key. A new key replaces the least recently used of LOOK_PROBES
 * neighbours. All zero: empty. */
enum { LOOKS = 1024, LOOK_PROBES = 8 };
struct looks {
    struct looks_entry {
        uint64_t key; /* 0: free */
        int64_t used_ms;
        bool begun;            /* a second look has ended at `last` */
        struct job_place last; /* the last job looked at */
    } at[LOOKS];
};

/* The key of an agent's claims of these queues. agent.s may be NULL: any agent. */
uint64_t looks_key(const struct text *queues, size_t n, struct text agent);

/* Looks at up to LOOK_JOBS jobs after `from` (NULL: from the first). ERR_OK: found a job;
 * ERR_NOT_FOUND: no further jobs; ERR_FULL: there may be more, *last is the last one seen. */
typedef enum err look_fn(void *arg, const struct job_place *from, struct job_place *last);

/* Looks at the first jobs, then continues the key's second look. ERR_NOT_FOUND: none of these jobs
 * fits. Times are clock_mono_ms(). */
enum err looks_find(struct looks *l, uint64_t key, int64_t now_ms, look_fn *look, void *arg);

/* Remembers a key for LOOKS_NOTED_MS; looks_noted: whether it is remembered. */
#define LOOKS_NOTED_MS 300000
void looks_note(struct looks *l, uint64_t key, int64_t now_ms);
bool looks_noted(const struct looks *l, uint64_t key, int64_t now_ms);

#endif
