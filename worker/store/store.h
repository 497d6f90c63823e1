/* The store: domain operations on jobs, results, output and agents. BSON and SQL stay inside the
 * back ends (mongo/, sqlite/), which behave the same.
 *
 * Documents are jansson values: key order is kept, strings may hold NUL. Every operation returns
 * ERR_OK or: ERR_NOT_FOUND and ERR_CONFLICT where store.def says so, ERR_TOO_LARGE (a document
 * would exceed the store's 16 MiB), ERR_UNAVAILABLE (the store is away or did not answer within the
 * store timeout; try again), ERR_INTERNAL (its reason is logged). On failure out-parameters are
 * untouched. A repeated call (struct asked) has the effect of one. */
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
#include "worker/store/holds.h"
#include "worker/store/job_events.h"
#include "worker/store/keys.h"
#include "worker/store/logs.h"
#include "worker/store/outbox.h"
#include "worker/store/secrets.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct store;

/* How long live output and its posts are known after it was taken. */
#define TAKEN_KEPT_MS ((int64_t)15 * 60 * 1000)

#define STORE_DOCUMENT_MAX (16 * MIB)
#define AGENT_LOG_MAX      100   /* lines kept of an agent's log */
#define AGE_MS             20000 /* renew updated_at of an agent, a queue when it is so old */
#define AGENT_NAMES_MAX    64    /* fields of an agent, beyond which unknown ones are left out */
#define WAIT_TIMES_MAX     1000  /* newest wait times kept of a queue */

/* Jobs, agents, queues and refresh tokens keep the ids of the newest requests that changed them. */
#define REQUESTS_MAX 16

/* The request behind a call. A repeat of it is found by the id alone: a process that was paused may
 * run a request for the first time after another one has run it. */
struct asked {
    const char *request_id; /* UUID text */
    int64_t received_us;    /* wall clock of the frontend; the same in a repeat */
    bool repeat;            /* it may have run before; a hint that saves work */
};

/* A job to queue: state waiting, created_at = asked.received_us.
 *
 * Not `given`: job_id is the request id, so a repeat finds the job stored. `given`: the client
 * chose the id. Where a job of that id waits with the same data, nothing changes; where it waits
 * with other data, it gets the new data and a new place in the queue. Where it runs or is over, it
 * becomes a new attempt: state waiting, new data and created_at, no started_at, no claim; its old
 * result_data, created_at and started_at are appended to `attempts` (the newest 20 are kept). */
struct job_new {
    struct asked asked;
    const char *job_id; /* NUL-terminated, at most 64 bytes */
    bool given;
    int64_t priority;      /* 0 unless sent */
    int64_t wait_until_ms; /* cancel it when no agent has taken it by then; 0: never */
    struct text submitter; /* client id; s NULL: unknown. Kept until the next attempt. */
    json_t *data; /* job_data; borrowed. "job_queue" is a string; "attachments_status" may be set */
    enum err err; /* out */
    bool added;   /* out: this call stored a job or an attempt; false: it was there already */
};

/* An agent asks for a job. It gets the first, by priority (high to low), created_at and insertion,
 * of the jobs that wait in one of the queues, have attachments_status absent or "complete", and do
 * not list the agent in exclude_agents. The job's state becomes running, started_at now, and
 * claim {token, owner, at} is set, open until claims_settle. Its wait (whole seconds since
 * created_at) is added to the queue's wait times.
 *
 * A repeat returns the job that carries its token, if any. An agent whose claim in one of these
 * queues is open for longer than CLAIM_OPEN_MS did not receive that job: it gets it again, under
 * the new token. */
struct claim {
    struct asked asked; /* request_id is the token */
    const struct text *queues;
    size_t queues_len;
    bool no_secrets;    /* pass over jobs with secrets, whose keys are away; only MongoDB looks */
    bool in_order;      /* the first queue with a job, not the first job of all queues */
    struct text agent;  /* s NULL: unknown, exclude_agents does not apply */
    int64_t lease_ms;   /* end of the job's lease; 0: none */
    enum err err;       /* out: ERR_OK, ERR_NOT_FOUND (no job), or a fault */
    json_t *data;       /* out: job_data, new reference */
    char *job_id;       /* out: owned by the caller */
    int64_t started_ms; /* out */
};

/* How much of a result the caller needs; a store may return more. */
enum result_part {
    RESULT_ALL,
    RESULT_FIELDS, /* without the texts of phases */
    RESULT_STATE   /* job_state */
};

/* Reads a part of one job. */
struct job_read {
    struct text job_id;
    enum result_part part; /* of results_get */
    json_t *value;         /* out: new reference; untouched unless err is ERR_OK */
    int64_t lease_ms;      /* out, of results_get: of a confirmed claim; untouched: not known */
    enum err err;          /* out: ERR_OK, ERR_NOT_FOUND or a fault */
};

/* Sets the state cancelled. A repeat is found for as long as no other request cancels the job. */
struct job_cancel {
    struct asked asked;
    struct text job_id;
    bool waited; /* out: it waited for an agent until this request cancelled it */
    enum err
        err; /* out: ERR_OK, ERR_NOT_FOUND, ERR_CONFLICT (over already, and not by this request),
                     or a fault */
};

/* Sets the priority of a waiting job, or extends the reservation of a job in the state reserve: its
 * reserve_data.timeout grows by `seconds`, and the result's RESERVED_UNTIL is the new end. A repeat
 * changes nothing. ERR_NOT_FOUND; ERR_CONFLICT: the job is in another state; ERR_FULL: the timeout
 * would be more than `max_s`. */
struct job_adjust {
    struct asked asked;
    struct text job_id;
    bool extends;
    int64_t priority;
    int64_t seconds, max_s;
};
#define RESERVED_UNTIL "reserved_until"

/* Fields of a result: each replaces the whole value of that name in result_data.
 *
 * A lease gets shorter only with a new state, and ends when the job is over. The server's reason
 * for the end (END_REASON) is removed when the agent reports complete or completed after all. A
 * result of an agent that lost the job to another one goes into the newest attempt that it had (or
 * that is not known to be another one's), nowhere where that is not kept.
 * ERR_TOO_LARGE: the job would exceed `max` bytes; nothing is stored, not even the state. */
struct result_put {
    struct asked asked;
    struct text job_id;
    json_t *fields;        /* object without job_state; borrowed; any names */
    const char *job_state; /* NULL: not sent; set only where states.h allows it */
    /* new end of the lease while the job is active; 0: no change. While the state stays, a store
     * may leave one of which less than a quarter is over. */
    int64_t lease_ms;
    struct text agent; /* who posts; s NULL: unknown */
    size_t max;        /* bytes of the job with these fields; 0: the limit of the store */
    enum err err;      /* out: ERR_OK, ERR_NOT_FOUND (nothing is stored) or a fault */
};

struct output_append {
    struct asked asked;
    struct text job_id;
    enum output_type type;
    struct text text; /* valid UTF-8, may hold NUL */
    enum err err;     /* out */
};

/* Takes live output, as much as fits into `max` bytes with a line end each. Where this request took
 * some before, whose answer was lost, it gets the same again and nothing else. That is possible
 * until another request takes from the job, at most for TAKEN_KEPT_MS. ERR_NOT_FOUND: nothing. */
struct live_take {
    struct asked asked;
    struct text job_id;
    enum output_type type;
    size_t max;
    bool peek;       /* only look: nothing counts as taken */
    json_t *entries; /* empty array, gets the texts; of no use after a failure */
    bool again;      /* out: it is what the request took before */
};

struct agent_put {
    struct asked asked;
    struct text name;
    json_t *fields; /* object of fields to set, without log; borrowed */
    json_t *extra;  /* likewise, of any names; left out where the agent would have too many */
    json_t *log;    /* array of lines to append, may be NULL; borrowed */
    enum err err;   /* out */
};

struct queues_put {
    struct asked asked;
    const json_t *descriptions; /* {NAME: TEXT, ...}; borrowed */
    enum err err;               /* out */
};

/* Whether the agent, as stored, has all these values already. */
bool agent_put_is_known(const json_t *agent, const struct agent_put *a);

struct queue_check {
    struct text queue;
    bool restricted; /* out */
};

/* What each operation does stands above its row in store.def. */
struct store_ops {
    const char *name;
    void (*close)(struct store *s);
    int64_t (*now_ms)(struct store *s);
#define STORE_OP(name, params, args) enum err(*name) params;
#include "worker/store/store.def"
#undef STORE_OP
};

/* What an operation on n things returns: their common outcome, ERR_OK where it is not the same. */
#define ERR_OF_ALL(items, n) ((n) ? err_of_all(&(items)->err, sizeof *(items), n) : ERR_OK)
enum err err_of_all(const enum err *first, size_t stride, size_t n) MUST_CHECK;

/* Each back end's store begins with this. */
struct store {
    const struct store_ops *ops;
    bool has_secrets; /* there are keys for them */
    bool last; /* the operations that follow are probably the last ones of the group that write; a
                * hint that saves work */
};

/* Opens the store of a URI ("sqlite:PATH" or "mongodb://…/DATABASE") and creates missing tables or
 * indexes. ERR_INVALID: the URI is wrong or the login was refused (logged; a retry cannot help).
 * ERR_UNAVAILABLE: it does not answer yet. */
enum err store_open(const char *uri, const struct config *cfg, struct store **ret) MUST_CHECK;

/* Whether the store of a URI has one writer at a time, as SQLite: writes of several processes wait
 * for each other. */
bool store_has_one_writer(const char *uri);

/* Seconds within which each operation ends, also of a store that does not answer. */
unsigned store_longest_s(const struct config *cfg);
void store_close(struct store *s); /* may be NULL */

/* Milliseconds since the epoch by the clock that all processes on this store share; a machine's
 * clock that differs or is set changes nothing. MongoDB: the primary's, measured every 2 s to
 * within half a round trip. SQLite: the machine's as it was when the first of them opened the file.
 * Every time that processes compare is taken from here. */
static inline int64_t store_now_ms(struct store *s)
{
    return s->ops->now_ms(s);
}

/* The back ends' openers, same results. */
enum err sqlite_open(const char *uri, const struct config *cfg, struct store **ret) MUST_CHECK;
enum err mongo_open(const char *uri, const struct config *cfg, struct store **ret) MUST_CHECK;

enum store_op {
#define STORE_OP(name, params, args) STORE_OP_##name,
#include "worker/store/store.def"
#undef STORE_OP
    STORE_OP_COUNT_
};

/* Measures an operation that began then (clock_mono_us; 0: metrics are off); returns `e`. */
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
