/* The indexes, each with the query that needs it. */
#include "worker/store_mongo/job.h"
#include "worker/store_mongo/outbox.h"

#include "common/log.h"
#include "worker/store_mongo/auth.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEYS_MAX  6
#define NAME_SIZE 128

/* Several processes start at once; the server lets some of them try again. */
#define BUILD_TRIES    20
#define BUILD_PAUSE_MS 100

struct index_key {
    const char *field;
    int order;
};

/* Documents that an index holds. */
enum only {
    ONLY_ALL,
    ONLY_WAITING, /* jobs that wait: an entry ends with the wait */
    ONLY_OPEN,    /* jobs whose claim is open: few at any time */
    ONLY_UNREAD,  /* fragments of logs that were not taken */
    ONLY_LEASED   /* jobs that run */
};

static const struct index_row {
    const char *collection;
    const char *name; /* NULL: the default that drivers make of the keys */
    bool unique;
    enum only only;
    struct index_key keys[KEYS_MAX + 1];
} rows[] = {
  /* jobs of other servers, which have any _id: the newest document of a job id comes first */
    {JOBS,           NULL,                     false, ONLY_ALL,    {{"job_id", 1}, {"created_at", -1}}                                   },
 /* lists of the jobs of some states; repeated claims look through the running jobs */
    {JOBS,           NULL,                     false, ONLY_ALL,    {{STATE_PATH, 1}, {"created_at", 1}, {"_id", 1}}                      },
 /* claims and positions: the waiting jobs of a queue in their order. The state, the same in all
  * entries, lets the server count them without reading documents. */
    {JOBS,
     "testflinger_waiting",                    false,
     ONLY_WAITING,                                                 {{STATE_PATH, 1},
      {"job_data.job_queue", 1},
      {"job_priority", -1},
      {"created_at", 1},
      {ORDER_PATH, 1},
      {"_id", 1}}                                                                                                      },
    {OUTPUT,         NULL,                     false, ONLY_ALL,    {{"job_id", 1}, {"_id", 1}}                                           },
    {SERIAL,         NULL,                     false, ONLY_ALL,    {{"job_id", 1}, {"_id", 1}}                                           },
    {AGENTS,         NULL,                     true,  ONLY_ALL,    {{"name", 1}}                                                         },
 /* who serves a queue, for jobs with exclude_agents */
    {AGENTS,         NULL,                     false, ONLY_ALL,    {{"queues", 1}}                                                       },
    {WAIT_TIMES,     NULL,                     true,  ONLY_ALL,    {{"name", 1}}                                                         },
    {RESTRICTED,     NULL,                     false, ONLY_ALL,    {{"queue_name", 1}}                                                   },
 /* the head of a lane; events with the content of one that comes */
    {OUTBOX,         NULL,                     false, ONLY_ALL,    {{"state", 1}, {"lane", 1}, {"created_at", 1}, {"order", 1}}          },
 /* dead letters in their order, what is to be removed, the oldest event that waits */
    {OUTBOX,         NULL,                     false, ONLY_ALL,    {{"state", 1}, {"at", 1}, {"_id", 1}}                                 },
 /* lanes that are due, but for some receivers */
    {LANES,          NULL,                     false, ONLY_ALL,    {{"due_at", 1}, {"receiver", 1}}                                      },
 /* the newest file of a name, and the chunks of a file, as drivers make them for GridFS */
    {FILES,          NULL,                     false, ONLY_ALL,    {{"filename", 1}, {"uploadDate", 1}}                                  },
    {CHUNKS,         NULL,                     true,  ONLY_ALL,    {{"files_id", 1}, {"n", 1}}                                           },
    {DROPS,          NULL,                     false, ONLY_ALL,    {{"due_at", 1}}                                                       },
 /* what became of a claim; agents that ask again; claims that are open for too long */
    {JOBS,           "testflinger_open",       false, ONLY_OPEN,   {{"claim.token", 1}}                                                  },
    {JOBS,           "testflinger_open_owner", false, ONLY_OPEN,   {{"claim.owner", 1}, {"claim.at", 1}}                                 },
 /* lists of the jobs of a queue, with a tag, of all; in the order of submission */
    {JOBS,           NULL,                     false, ONLY_ALL,    {{"job_data.job_queue", 1}, {"created_at", 1}, {"_id", 1}}            },
    {JOBS,           NULL,                     false, ONLY_ALL,    {{"job_data.tags", 1}, {"created_at", 1}, {"_id", 1}}                 },
    {JOBS,           NULL,                     false, ONLY_ALL,    {{"created_at", 1}, {"_id", 1}}                                       },
    {QUEUES,         NULL,                     true,  ONLY_ALL,    {{"name", 1}}                                                         },
    {PROVISION_LOGS, NULL,                     true,  ONLY_ALL,    {{"name", 1}}                                                         },
 /* expiry: by age. The reference makes indexes of the age alone, which delete by themselves; one
  * of   those keys that does not would keep it from starting. */
    {OUTPUT,         NULL,                     false, ONLY_ALL,    {{"updated_at", 1}, {"_id", 1}}                                       },
    {SERIAL,         NULL,                     false, ONLY_ALL,    {{"updated_at", 1}, {"_id", 1}}                                       },
    {FILES,          NULL,                     false, ONLY_ALL,    {{"uploadDate", 1}, {"_id", 1}}                                       },
    {AGENTS,         NULL,                     false, ONLY_ALL,    {{"updated_at", 1}, {"_id", 1}}                                       },
    {QUEUES,         NULL,                     false, ONLY_ALL,    {{"updated_at", 1}, {"_id", 1}}                                       },
 /* reads of a log; the reference makes it too */
    {LOGS,
     NULL,                                     false,
     ONLY_ALL,                                                     {{"job_id", 1}, {"log_type", 1}, {"phase", 1}, {"fragment_number", 1}}},
 /* what a reader of live output has not taken */
    {LOGS,
     "testflinger_unread",                     false,
     ONLY_UNREAD,                                                  {{"job_id", 1}, {"log_type", 1}, {"fragment_number", 1}}              },
 /* jobs whose lease has run out */
    {JOBS,           "testflinger_lease",      false, ONLY_LEASED, {{"lease", 1}}                                                        },
 /* expiry of logs */
    {LOGS,           NULL,                     false, ONLY_ALL,    {{"updated_at", 1}, {"_id", 1}}                                       },
 /* expiry of keys */
    {KEYS,           NULL,                     false, ONLY_ALL,    {{"at", 1}, {"_id", 1}}                                               },
};

enum {
    ROW_JOB_ID = 0,
    ROW_JOB_STATE = 1,
    ROW_WAITING = 2,
    ROW_OUTPUT = 3,
    ROW_LANE = 9,
    ROW_STATE = 10,
    ROW_DUE = 11,
    ROW_TOKEN = 15,
    ROW_OWNER = 16,
    ROW_QUEUE = 17,
    ROW_TAG = 18,
    ROW_AGE = 19,
    ROW_FRAGMENT = 27,
    ROW_UNREAD = 28,
    ROW_LEASE = 29
};

/* Collections whose documents belong to jobs: one that is active must not expire. */
static const char *const kept[] = {JOBS, OUTPUT, SERIAL, LOGS, "fs.files", "fs.chunks"};

static void keys_append(bson_t *to, const struct index_key *keys, size_t from)
{
    for (size_t i = from; keys[i].field; i++)
        BSON_APPEND_INT32(to, keys[i].field, keys[i].order);
}

static bson_t *keys_new(const struct index_key *keys, size_t from)
{
    bson_t *b = bson_new();

    keys_append(b, keys, from);
    return b;
}

void mongo_fixed_init(struct mongo_fixed *f)
{
    static const struct index_key id[] = {
        {"_id", 1},
        {NULL,  0}
    };

    f->by_id = keys_new(id, 0);
    f->by_job_id = keys_new(rows[ROW_JOB_ID].keys, 0);
    f->by_job_state = keys_new(rows[ROW_JOB_STATE].keys, 0);
    f->waiting = keys_new(rows[ROW_WAITING].keys, 0);
    f->claim_order = keys_new(rows[ROW_WAITING].keys, 2);
    f->by_token = keys_new(rows[ROW_TOKEN].keys, 0);
    f->by_owner = keys_new(rows[ROW_OWNER].keys, 0);
    f->by_queue = keys_new(rows[ROW_QUEUE].keys, 0);
    f->by_tag = keys_new(rows[ROW_TAG].keys, 0);
    f->by_age = keys_new(rows[ROW_AGE].keys, 0);
    f->light = BCON_NEW("writeConcern", "{", "w", BCON_INT32(1), "}");
    f->by_output = keys_new(rows[ROW_OUTPUT].keys, 0);
    f->by_lane = keys_new(rows[ROW_LANE].keys, 0);
    f->by_state = keys_new(rows[ROW_STATE].keys, 0);
    f->by_due = keys_new(rows[ROW_DUE].keys, 0);
    f->by_fragment = keys_new(rows[ROW_FRAGMENT].keys, 0);
    f->unread = keys_new(rows[ROW_UNREAD].keys, 0);
    f->by_lease = keys_new(rows[ROW_LEASE].keys, 0);
}

void mongo_fixed_free(struct mongo_fixed *f)
{
    bson_destroy(f->by_id);
    bson_destroy(f->by_job_id);
    bson_destroy(f->by_job_state);
    bson_destroy(f->waiting);
    bson_destroy(f->claim_order);
    bson_destroy(f->by_token);
    bson_destroy(f->by_owner);
    bson_destroy(f->by_queue);
    bson_destroy(f->by_tag);
    bson_destroy(f->by_age);
    bson_destroy(f->light);
    bson_destroy(f->by_output);
    bson_destroy(f->by_lane);
    bson_destroy(f->by_state);
    bson_destroy(f->by_due);
    bson_destroy(f->by_fragment);
    bson_destroy(f->unread);
    bson_destroy(f->by_lease);
}

static void name_of(const struct index_row *row, char out[NAME_SIZE])
{
    size_t used = 0;

    if (row->name) {
        snprintf(out, NAME_SIZE, "%s", row->name);
        return;
    }
    for (const struct index_key *k = row->keys; k->field && used < NAME_SIZE; k++)
        used += (size_t)snprintf(out + used, NAME_SIZE - used, "%s%s_%d", used ? "_" : "", k->field,
                                 k->order);
}

/* The filter of a partial index. */
static void only_append(bson_t *to, enum only only)
{
    bson_t exists;

    if (only == ONLY_WAITING) {
        BSON_APPEND_UTF8(to, STATE_PATH, "waiting");
    } else if (only == ONLY_LEASED) {
        BSON_APPEND_DOCUMENT_BEGIN(to, "lease", &exists);
        BSON_APPEND_BOOL(&exists, "$exists", true);
        bson_append_document_end(to, &exists);
    } else {
        BSON_APPEND_BOOL(to, only == ONLY_OPEN ? "claim.open" : "unread", true);
    }
}

static enum err create(struct mongo *m, const struct index_row *row, bool unique)
{
    bson_t command = BSON_INITIALIZER, indexes, index, child, reply;
    char name[NAME_SIZE];

    name_of(row, name);
    BSON_APPEND_UTF8(&command, "createIndexes", row->collection);
    BSON_APPEND_ARRAY_BEGIN(&command, "indexes", &indexes);
    BSON_APPEND_DOCUMENT_BEGIN(&indexes, "0", &index);
    BSON_APPEND_DOCUMENT_BEGIN(&index, "key", &child);
    keys_append(&child, row->keys, 0);
    bson_append_document_end(&index, &child);
    BSON_APPEND_UTF8(&index, "name", name);
    if (unique)
        BSON_APPEND_BOOL(&index, "unique", true);
    if (row->only) {
        BSON_APPEND_DOCUMENT_BEGIN(&index, "partialFilterExpression", &child);
        only_append(&child, row->only);
        bson_append_document_end(&index, &child);
    }
    bson_append_document_end(&indexes, &index);
    bson_append_array_end(&command, &indexes);
    if (m->replica_set) /* a member that is down must not keep us from starting */
        BSON_APPEND_UTF8(&command, "commitQuorum", "majority");
    enum err e = mongo_write(m, &command, &reply);
    bson_destroy(&command);
    if (!e)
        bson_destroy(&reply);
    return e;
}

/* An index of the same keys with other options serves the same queries, so it is left alone. */
static enum err make(struct mongo *m, const struct index_row *row)
{
    const struct timespec pause = {.tv_nsec = BUILD_PAUSE_MS * 1000000L};
    char name[NAME_SIZE];
    enum err e = create(m, row, row->unique);

    for (int i = 0; e == ERR_UNAVAILABLE && i < BUILD_TRIES; i++) {
        nanosleep(&pause, NULL);
        e = create(m, row, row->unique);
    }
    if (e != ERR_CONFLICT)
        return e;
    name_of(row, name);
    if (row->unique)
        log_warn("the index %s of collection %s cannot be made unique, which lookups do without; "
                 "remove all but the newest of documents of one name, and any other index %s",
                 name, row->collection, name);
    else
        log_info("collection %s has an index like %s, which is used instead", row->collection,
                 name);
    if (row->unique)
        e = create(m, row, false);
    return e == ERR_CONFLICT ? ERR_OK : e;
}

/* Indexes of an existing database that delete by age, whatever the state of the job. */
static enum err warn_of_expiry(struct mongo *m, const char *collection)
{
    bson_t command = BSON_INITIALIZER, reply, index;
    bson_iter_t at, batch, name;

    BSON_APPEND_UTF8(&command, "listIndexes", collection);
    enum err e = mongo_read(m, &command, &reply);
    bson_destroy(&command);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (mongo_field(&reply, "cursor.firstBatch", &at) && bson_iter_recurse(&at, &batch))
        while (mongo_next(&batch, &index))
            if (mongo_field(&index, "expireAfterSeconds", &at) &&
                mongo_field(&index, "name", &name) && BSON_ITER_HOLDS_UTF8(&name))
                log_warn("index %s of collection %s deletes data %lld s after its date, that of "
                         "active jobs too; remove it in mongosh: "
                         "db.getCollection(\"%s\").dropIndex(\"%s\")",
                         bson_iter_utf8(&name, NULL), collection,
                         (long long)bson_iter_as_int64(&at), collection,
                         bson_iter_utf8(&name, NULL));
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_indexes_make(struct mongo *m)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < sizeof rows / sizeof *rows; i++)
        e = make(m, &rows[i]);
    for (size_t i = 0; !e && i < sizeof kept / sizeof *kept; i++)
        e = warn_of_expiry(m, kept[i]);
    if (!e)
        e = mongo_auth_prepare(m);
    return e == ERR_INTERNAL ? ERR_UNAVAILABLE : e;
}
