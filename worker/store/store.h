/* The store: domain operations on jobs, results, output and agents. No BSON and no SQL outside the
 * back ends (worker/store_mongo, worker/store_sqlite); both mean exactly the same.
 *
 * Documents are jansson values with their key order kept and NUL allowed in strings. Every
 * operation returns ERR_OK or: ERR_NOT_FOUND and ERR_CONFLICT where said below, ERR_TOO_LARGE (a
 * document would pass the store's 16 MiB), ERR_UNAVAILABLE (the store is away or does not answer
 * within the store timeout; the caller may try again), ERR_INTERNAL (logged with its reason).
 * Out-parameters are untouched on failure. A repeat (see request_id) has the effect of one call. */
#ifndef WORKER_STORE_STORE_H
#define WORKER_STORE_STORE_H

#include "common/buf.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/envelope.h"
#include "common/err.h"
#include "common/metrics.h"
#include "worker/store/auth.h"
#include "worker/store/claims.h"
#include "worker/store/depths.h"
#include "worker/store/directory.h"
#include "worker/store/expiry.h"
#include "worker/store/files.h"
#include "worker/store/keys.h"
#include "worker/store/logs.h"
#include "worker/store/outbox.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct store;

#define STORE_DOCUMENT_MAX (16 * MIB)
#define AGENT_LOG_MAX      100  /* lines kept of an agent's log */
#define WAIT_TIMES_MAX     1000 /* newest wait times kept of a queue */

/* Which request asks, so that its repeat (after the death of a process) can be told. */
struct asked {
    const char *request_id; /* UUID text */
    int64_t received_us;    /* wall clock; the same in a repeat */
    bool repeat;            /* it may have been carried out before */
};

/* A job to put in its queue. State waiting, created_at = asked.received_us.
 * `given`: the client chose the id. Then a job of that id that waits with the same data is left as
 * it is; one that waits with other data gets the new data and its new place in the queue; one that
 * runs or is over becomes a new attempt: state waiting, new data, new created_at, no started_at and
 * claim, its old result_data, created_at and started_at are appended to `attempts` (the newest 20
 * are kept). Not given: job_id is the request id, a repeat finds it stored. */
struct job_new {
    struct asked asked;
    const char *job_id; /* NUL-terminated, at most 64 bytes */
    bool given;
    int64_t priority;      /* 0 unless sent */
    struct text submitter; /* the client that asks, s NULL: unknown. Kept until another attempt. */
    json_t *data; /* job_data; borrowed. "job_queue" is a string; "attachments_status" may be set */
    enum err err; /* out: result of this one */
};

/* One agent's wish for a job. Chosen is the first by (priority high to low, created_at, insertion)
 * among the jobs that wait in one of the queues, whose attachments_status is absent or "complete",
 * and whose exclude_agents does not hold the agent. It becomes running; started_at = now;
 * claim {token, owner, at} is set and open until it is settled (store_life.h); its wait (whole
 * seconds from created_at) is added to the queue's wait times. A repeat returns the job that
 * carries its token, when there is one. An agent whose claim of one of these queues is open for
 * longer than CLAIM_OPEN_MS has not got that job: it is handed to it again, under the new token. */
struct claim {
    struct asked asked; /* request_id is the token */
    const struct text *queues;
    size_t queues_len;
    struct text agent;  /* s NULL: not told, nothing is excluded */
    int64_t lease_ms;   /* end of the lease that the job gets; 0: none */
    enum err err;       /* out: ERR_OK, ERR_NOT_FOUND: no job for it, or a fault */
    json_t *data;       /* out: job_data, new reference */
    char *job_id;       /* out: owned by the caller */
    int64_t started_ms; /* out */
};

/* How much of a result is wanted at least. */
enum result_part {
    RESULT_ALL,
    RESULT_FIELDS, /* without the texts of phases */
    RESULT_STATE   /* job_state */
};

/* One job to read a part of. */
struct job_read {
    struct text job_id;
    enum result_part part; /* of results_get */
    json_t *value;         /* out: new reference; untouched unless err is ERR_OK */
    enum err err;          /* out: ERR_OK, ERR_NOT_FOUND or a fault */
};

/* Fields of a result. `fields` are set one by one in result_data, whole values replaced. A lease
 * becomes shorter only with a new state; it ends when the job is over. A reason that the server has
 * given for the end goes when the agent says complete or completed after all. What an agent posts
 * of a job that was taken from it as lost, and that another one has by now, goes into the newest of
 * the job's attempts. ERR_TOO_LARGE: with these fields the job would have more than `max` bytes;
 * nothing is stored then, not the state either. */
struct result_put {
    struct asked asked;
    struct text job_id;
    json_t *fields;        /* object without job_state; borrowed; any names */
    const char *job_state; /* NULL: not sent; NUL-terminated; set only where states.h allows */
    int64_t lease_ms;      /* end of the lease of a job that is active then; 0: stays as it is */
    struct text agent;     /* that posts; s NULL: not told */
    size_t max;   /* bytes that the job may have with the fields; 0: what the store takes */
    enum err err; /* out: ERR_OK, ERR_NOT_FOUND (nothing is stored) or a fault */
};

struct output_append {
    struct asked asked;
    struct text job_id;
    enum output_type type;
    struct text text; /* valid UTF-8, may hold NUL */
    enum err err;     /* out */
};

struct agent_put {
    struct asked asked;
    struct text name;
    json_t *fields; /* object of what to set, without log; borrowed */
    json_t *log;    /* array of lines to append, may be NULL; borrowed */
};

struct queue_check {
    struct text queue;
    bool restricted; /* out */
};

/* What each operation does stands above its row in store.def. */
struct store_ops {
    const char *name;
    void (*close)(struct store *s);
#define STORE_OP(name, params, args) enum err(*name) params;
#include "worker/store/store.def"
#undef STORE_OP
};

/* Each back end's store begins with this. */
struct store {
    const struct store_ops *ops;
};

/* Opens the store that the URI names ("sqlite:PATH" or "mongodb://…/DATABASE"), makes tables or
 * indexes that are missing. ERR_INVALID: the URI is wrong or the login refused (a reason is
 * logged; starting again cannot help). ERR_UNAVAILABLE: it does not answer yet. */
enum err store_open(const char *uri, const struct config *cfg, struct store **ret) MUST_CHECK;
void store_close(struct store *s); /* NULL is fine */

/* The back ends' openers, same results. */
enum err sqlite_open(const char *uri, const struct config *cfg, struct store **ret) MUST_CHECK;
enum err mongo_open(const char *uri, const struct config *cfg, struct store **ret) MUST_CHECK;

enum store_op {
#define STORE_OP(name, params, args) STORE_OP_##name,
#include "worker/store/store.def"
#undef STORE_OP
    STORE_OP_COUNT_
};

/* Counts an operation that began at this time (clock_mono_us; 0: nobody counts); returns `e`. */
enum err store_measured(enum store_op op, int64_t began_us, enum err e);

#define STORE_OP(name, params, args)                                                               \
    MUST_CHECK static inline enum err store_##name params                                          \
    {                                                                                              \
        int64_t began_us = metrics_are_on() ? clock_mono_us() : 0;                                 \
        return store_measured(STORE_OP_##name, began_us, s->ops->name args);                       \
    }
#include "worker/store/store.def"
#undef STORE_OP

#endif
