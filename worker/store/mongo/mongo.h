/* Shared by the files of the MongoDB back end: connection, commands, names. */
#ifndef WORKER_STORE_MONGO_MONGO_H
#define WORKER_STORE_MONGO_MONGO_H

#include "worker/jobs/looks.h"
#include "worker/store/store.h"

#include <mongoc/mongoc.h>
#include <string.h>

#define JOBS           "jobs"
#define OUTPUT         "output"
#define SERIAL         "serial_output"
#define AGENTS         "agents"
#define WAIT_TIMES     "queue_wait_times"
#define RESTRICTED     "restricted_queues"
#define FILES          "fs.files"
#define CHUNKS         "fs.chunks"
#define DROPS          "file_drops" /* ours: files whose chunks may have to be removed */
#define QUEUES         "queues"
#define PROVISION_LOGS "provision_logs"
#define KEYS           "idempotency_keys" /* ours: of submissions */
#define LOGS           "logs"
#define SECRET_CLAIMS  "secret_claims" /* ours: jobs that have single-use secrets */

/* The state of a job in its document. */
#define STATE_PATH "result_data.job_state"

/* Fields of an agent: when it was heard of last; true: it is marked as silent. */
#define AGENT_HEARD  "heard_at"
#define AGENT_SILENT "silent"

/* Order of arrival (microseconds) of waiting jobs within a created_at, which has only milliseconds.
 */
#define ORDER_PATH "claim.order"

/* The order of claims in a queue: the last keys of IX_WAITING. */
#define CLAIM_ORDER "job_priority: -1, created_at: 1, " ORDER_PATH ": 1, _id: 1"

/* The calls of a group. A single server waits for its disk once, at the last write, instead of at
 * each: transaction.c has the proof. */
struct mongo_group {
    bool open;
    bool deferred; /* there are writes that no durable write has followed yet */
    bool lost;     /* the connection broke since */
};

/* The server's clock, as its distance from clock_boot_us(): it lies between the two. */
struct mongo_clock {
    int64_t low_us, high_us;
    int64_t measured_us; /* clock_boot_us(); 0: never */
    int64_t due_us;      /* next measurement */
    int64_t trip_us;     /* an answer that was not delayed; 0: unknown */
};

/* The keys of all holds (holds.h), as they were a while ago. */
struct mongo_holds {
    json_t *ids;    /* {KEY: true, ...}; NULL: not read yet */
    bool some[2];   /* there are any, by enum hold_kind */
    int64_t due_ms; /* clock_mono_ms() of the next read */
};

/* A large log, as it was when it had so many fragments (log_look.c). */
struct log_known {
    uint64_t hash; /* of the job's id */
    int64_t total; /* -1: not counted yet */
    struct log_extent types[OUTPUT_TYPES];
};
#define LOGS_KNOWN 1024

#define FOREIGN_LEN 4096 /* jobs of other servers that are remembered */

/* The agents with open claims, as they were a while ago. */
struct mongo_open {
    json_t *owners; /* {AGENT: true, ...}; NULL: not read yet */
    bool many;      /* there are others, too */
    int64_t due_ms; /* clock_mono_ms() of the next read */
};

/* One connection; every process has its own. */
struct mongo {
    struct store store; /* first member */
    mongoc_uri_t *uri;
    const char *database; /* in uri */
    bool replica_set;     /* or a router in front of some */
    bool may_defer;       /* see struct mongo_group */
    mongoc_client_t *client;
    bool away;           /* no client, or the last command found no server: a fresh one is made */
    int64_t next_try_ms; /* while away: not before (clock_mono_ms) */
    int64_t last_ms;     /* when the last command ended */
    struct mongo_group group;
    mongoc_client_session_t *session; /* of the open transaction; NULL: there is none */
    bson_t *light;      /* options of a write that is acknowledged before it is durable */
    struct looks looks; /* of claims */
    struct mongo_clock clock;
    struct mongo_holds holds;
    uint64_t foreign[FOREIGN_LEN]; /* hashes; job.h */
    struct mongo_open open;
    struct mongo_vault *vault; /* keys of secrets (vault.h); NULL: there are none */
    int64_t claimed_ms;        /* clock_mono_ms() of the last claim that got a job */
    int claim_luck;            /* moving average: how many claims got a job, of 1024 */
    struct log_known logs[LOGS_KNOWN];
};

static inline struct mongo *mongo_of(struct store *s)
{
    return (struct mongo *)s;
}

#define STORE_OP(name, params, args) enum err mongo_##name params MUST_CHECK;
#include "worker/store/store.def"
#undef STORE_OP

/* Makes missing indexes, waits until they are built, and warns of foreign ones that would delete
 * data. ERR_INVALID: the user may not make them. */
enum err mongo_indexes_make(struct mongo *m) MUST_CHECK;

/* A new client of the store's URI; NULL (logged): its hosts cannot be resolved. */
mongoc_client_t *mongo_client_new(const mongoc_uri_t *uri);

/* ---- the server's clock (clock.c) ---- */

/* store_now_ms(). Asks the server when the last measurement is old, unless a transaction is open.
 */
int64_t mongo_now_ms(struct mongo *m);

/* Takes a measurement from the answer to a hello that was sent at this time of clock_boot_us(). */
void mongo_clock_take(struct mongo *m, int64_t sent_us, const bson_t *hello);

/* The server may be another one now: measure before the next use. */
static inline void mongo_clock_doubt(struct mongo *m)
{
    m->clock.due_us = 0;
}

/* ---- commands (command.c) ---- */

/* Runs a read or a write command. On success *ret_reply is the caller's to destroy (a bson_t must
 * not be copied by assignment: it points into itself); it may hold writeErrors. Errors as in
 * store.h, logged; ERR_CONFLICT: duplicate key; ERR_INVALID: not allowed to this user. */
enum err mongo_read(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;
enum err mongo_write(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;

/* A write that is the last of its operation: durable where the operation may be the last of its
 * group, so that the group needs no further write. */
enum err mongo_write_last(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;

/* The same regardless of the group: acknowledged when durable, or before. */
enum err mongo_write_durable(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;
enum err mongo_write_light(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;

/* Logs the driver's error of a command, and records a broken connection. */
enum err mongo_failed(struct mongo *m, const char *command, const bson_error_t *error);

/* The error for a server's code; ERR_INTERNAL: unknown code. */
enum err mongo_code_err(int code);

/* Does some work, all of which happens or none of it. Only where m->replica_set: a single server
 * has no transactions. The work may be done several times. Not within another one, and not in a
 * capped collection. */
typedef enum err mongo_work(struct mongo *m, void *arg);
enum err mongo_transaction(struct mongo *m, mongo_work *work, void *arg) MUST_CHECK;

#endif
