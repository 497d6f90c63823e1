/* What the files of the MongoDB back end share: the connection, commands, names. */
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

/* The state of a job in its document. */
#define STATE_PATH "result_data.job_state"

/* While a job waits, this tells the order of arrival (microseconds) within a created_at, which has
 * milliseconds only. */
#define ORDER_PATH "claim.order"

/* The waiting jobs of a queue in the order of claims: the last keys of IX_WAITING. */
#define CLAIM_ORDER "job_priority: -1, created_at: 1, " ORDER_PATH ": 1, _id: 1"

/* Documents that never change, made once: hints and what follows them in commands. */
struct mongo_fixed {
    bson_t *by_id;        /* {_id: 1} */
    bson_t *by_job_id;    /* index that gives the newest document of a job id first */
    bson_t *waiting;      /* index of the waiting jobs in the order of the claim */
    bson_t *claim_order;  /* the sort of a claim */
    bson_t *by_job_state; /* index of the jobs by state, oldest first */
    bson_t *by_token;     /* index of the open claims by token */
    bson_t *by_owner;     /* index of the open claims by owner and time */
    bson_t *light;        /* options of a write that is acknowledged before it is durable */
    bson_t *by_queue;     /* index of the jobs of a queue, oldest first */
    bson_t *by_tag;       /* index of the jobs with a tag, oldest first */
    bson_t *by_age;       /* index of the jobs, oldest first, and that sort */
    bson_t *by_output;    /* index of the output of a job, oldest first, and the sort */
    bson_t *by_lane;      /* index of webhook events by lane in their order, and the sort */
    bson_t *by_state;     /* index of webhook events by state and time, and the sort */
    bson_t *by_fragment;  /* index of the fragments of a log by phase and number */
    bson_t *unread;       /* index of the fragments that were not taken, by number */
    bson_t *by_due;       /* index of lanes by the time at which they are due, and the sort */
    bson_t *by_lease;     /* index of the running jobs by the end of their lease, and the sort */
};

/* The calls of a group. A single server waits for its disk once at the end instead of at each
 * write: what it acknowledged before is durable by then, as long as it is still the same server
 * process, which the unbroken connection tells. */
struct mongo_group {
    bool open;
    bool deferred; /* there are writes that are not known to be durable */
    bool lost;     /* the connection broke since */
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
    struct mongo_fixed fixed;
    struct looks looks; /* of claims */
};

static inline struct mongo *mongo_of(struct store *s)
{
    return (struct mongo *)s;
}

#define STORE_OP(name, params, args) enum err mongo_##name params MUST_CHECK;
#include "worker/store/store.def"
#undef STORE_OP

/* Makes the indexes that are missing, waits until they are built, and warns of foreign ones that
 * would delete data. ERR_INVALID: the user may not make them. */
enum err mongo_indexes_make(struct mongo *m) MUST_CHECK;

/* Fills and frees the fixed documents. */
void mongo_fixed_init(struct mongo_fixed *f);
void mongo_fixed_free(struct mongo_fixed *f);

/* A fresh client of the store's URI, NULL (logged) when its hosts cannot be looked up. */
mongoc_client_t *mongo_client_new(const mongoc_uri_t *uri);

/* ---- commands (command.c) ---- */

/* Runs a read or a write command. On success *ret_reply is the caller's to destroy (a bson_t must
 * not be copied by assignment: it points into itself); it may hold writeErrors. Errors as in
 * store.h, logged; ERR_CONFLICT: duplicate key; ERR_INVALID: not allowed to this user. */
enum err mongo_read(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;
enum err mongo_write(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;

/* The same whatever the group: acknowledged when it is durable, or before. */
enum err mongo_write_durable(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;
enum err mongo_write_light(struct mongo *m, const bson_t *command, bson_t *ret_reply) MUST_CHECK;

/* Logs what the driver has to say of a command, and notes a connection that broke. */
enum err mongo_failed(struct mongo *m, const char *command, const bson_error_t *error);

/* The error that a server's code stands for; ERR_INTERNAL when it is none of the known ones. */
enum err mongo_code_err(int code);

struct mongo_query {
    const char *collection;
    const bson_t *filter;
    const bson_t *projection; /* may be NULL, as the next two */
    const bson_t *sort;
    const bson_t *hint;
    int limit;  /* of documents, at least 1 */
    bool *more; /* out: others match that are not in the batch; NULL: nobody asks */
};

/* Runs a query. The documents of its one batch come from mongo_next(); they point into *ret_reply,
 * which the caller destroys after use. The server ends a batch at 16 MiB, so that few documents, or
 * large ones, do not tell that there are no others: `more` does. */
enum err mongo_find(struct mongo *m, const struct mongo_query *q, bson_t *ret_reply,
                    bson_iter_t *ret_batch) MUST_CHECK;
bool mongo_next(bson_iter_t *batch, bson_t *ret_doc);

/* The document that an iterator stands on, as a view; false when it is none. */
bool mongo_document(const bson_iter_t *it, bson_t *ret_doc);

/* One statement of an update. `update` is a document of operators, or with `pipeline` an array. */
struct mongo_change {
    const bson_t *filter;
    const bson_t *update;
    const bson_t *hint; /* may be NULL */
    bool pipeline;
    bool upsert;
};

struct mongo_changed {
    int64_t matched; /* an upsert counts */
    int64_t modified;
};

/* Appends the statement to an array of statements; index is its position. */
void mongo_change_append(bson_t *updates, size_t index, const struct mongo_change *c);

/* Updates the first document that matches. ERR_CONFLICT: duplicate key. ret may be NULL. */
enum err mongo_update(struct mongo *m, const char *collection, const struct mongo_change *c,
                      struct mongo_changed *ret) MUST_CHECK;

/* Runs up to n changes in one command and in their order, up to the first that fails. *ret_done:
 * how many went in. ERR_OK also when some did not: the first of them, run alone, tells why.
 * `ret->matched` less than *ret_done: some matched nothing. */
enum err mongo_update_many(struct mongo *m, const char *collection, const bson_t *updates, size_t n,
                           struct mongo_changed *ret, size_t *ret_done) MUST_CHECK;

/* Runs a finished update, insert or delete command of statements that stand for one outcome: its
 * first write error is its error. `options`: NULL, or fixed.light for what may be lost. */
enum err mongo_write_all(struct mongo *m, const bson_t *command, const bson_t *options,
                         struct mongo_changed *ret) MUST_CHECK;

/* Does some work, all of which happens or none of it. Only where m->replica_set: a single server
 * has no transactions. The work may be done several times. Not within another one, and not in a
 * capped collection. */
typedef enum err mongo_work(struct mongo *m, void *arg);
enum err mongo_transaction(struct mongo *m, mongo_work *work, void *arg) MUST_CHECK;

/* ---- documents ---- */

/* Appends to an update's operators: history gets {state, at, reason}, the last unless NULL. The
 * update has no $push yet. */
void mongo_history_push(bson_t *update, const char *state, int64_t at_ms, const char *reason);

/* The field at a dotted path; false when it is missing. */
bool mongo_field(const bson_t *doc, const char *path, bson_iter_t *ret);

/* Milliseconds of a date field, 0 when it is missing or no date. */
int64_t mongo_date(const bson_t *doc, const char *path);

/* Appends what it finds at `path` under the name `key`, null when it is missing: as a filter, it
 * then matches what was read, missing fields too. */
void mongo_append_as_read(bson_t *to, const char *key, const bson_t *doc, const char *path);

#define MONGO_INDEX_SIZE 24
/* The key of an array's position. */
const char *mongo_index(size_t i, char out[MONGO_INDEX_SIZE]);

/* Appends int32 where the value fits, else int64. */
void mongo_append_int(bson_t *to, const char *key, int64_t value);

static inline bool mongo_text_is(struct text a, struct text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.s, b.s, a.len) == 0);
}

static inline void mongo_append_text(bson_t *to, const char *key, struct text t)
{
    bson_append_utf8(to, key, -1, t.len ? t.s : "", (int)t.len);
}

#endif
