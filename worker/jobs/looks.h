/* Claims of agents that many waiting jobs exclude. A claim looks at a bounded number of jobs: the
 * first LOOK_JOBS, and as many more behind the place where the last claim of the same kind ended.
 * So a job behind any number of others is found after some claims, and no claim takes long. */
#ifndef WORKER_JOBS_LOOKS_H
#define WORKER_JOBS_LOOKS_H

#include "common/err.h"
#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

#define LOOK_JOBS 1000 /* in one look */

/* A job's place in the order of claims: by priority (high to low), creation, number. */
struct job_place {
    int64_t priority; /* JOB_PLACE_LAST: it has none, which only jobs of other servers do */
    int64_t created;  /* in the back end's unit */
    int64_t id;       /* 0 where the back end orders by creation alone */
};
#define JOB_PLACE_LAST INT64_MIN

bool job_place_before(const struct job_place *a, const struct job_place *b);

/* What a process remembers. A key that finds no free place among LOOK_PROBES neighbours takes that
 * of the key that was not used for the longest time. All zero: nothing. */
enum { LOOKS = 1024, LOOK_PROBES = 8 };
struct looks {
    struct looks_entry {
        uint64_t key; /* 0: free */
        int64_t used_ms;
        bool begun;            /* the second look has begun, and ended at `last` */
        struct job_place last; /* the last job looked at */
    } at[LOOKS];
};

/* The key of an agent's claims of some queues. agent.s may be NULL: of anybody's. */
uint64_t looks_key(const struct text *queues, size_t n, struct text agent);

/* Looks at up to LOOK_JOBS jobs from behind `from` on (NULL: from the first). ERR_OK: found a job;
 * ERR_NOT_FOUND: there are no further jobs; ERR_FULL: there may be, *last is the last one seen. */
typedef enum err look_fn(void *arg, const struct job_place *from, struct job_place *last);

/* Looks at the first jobs and then goes on with the key's second look. ERR_NOT_FOUND: no job is
 * among those looked at. Times are clock_mono_ms(). */
enum err looks_find(struct looks *l, uint64_t key, int64_t now_ms, look_fn *look, void *arg);

/* Notes a key for LOOKS_NOTED_MS; whether it was noted. */
#define LOOKS_NOTED_MS 300000
void looks_note(struct looks *l, uint64_t key, int64_t now_ms);
bool looks_noted(const struct looks *l, uint64_t key, int64_t now_ms);

#endif
