/* Makes the indexes of indexes.def, and what queries name of them as hints. */
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/outbox.h"

#include "common/log.h"
#include "worker/store/mongo/auth.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEYS_MAX  6
#define NAME_SIZE 128

#define BUILD_TRIES    20
#define BUILD_PAUSE_MS 100

struct index_key {
    const char *field;
    int order;
};

enum flag {
    UNIQUE = 1,
    SPARSE = 2,
    WAITING = 4,  /* holds jobs that wait: an entry ends with the wait */
    OPEN = 8,     /* jobs whose claim is open: few at any time */
    UNREAD = 16,  /* fragments of logs that were not taken */
    LEASED = 32,  /* jobs that run */
    WITH_SUB = 64 /* clients that log in by OpenID */
};

#define NEVER (-1) /* expires */

static const struct index_row {
    const char *collection;
    const char *name; /* NULL: the default that drivers make of the keys */
    unsigned flags;
    int64_t expire_s;
    struct index_key keys[KEYS_MAX + 1];
} rows[] = {
#define INDEX(id, collection, name, flags, ...) {collection, name, flags, NEVER, {__VA_ARGS__}},
#define EXPIRING(id, collection, flags, seconds, ...)                                              \
    {collection, NULL, flags, seconds, {__VA_ARGS__}},
#include "worker/store/mongo/indexes.def"
#undef INDEX
#undef EXPIRING
};

enum row {
#define INDEX(id, ...) ROW_##id,
#define EXPIRING       INDEX
#include "worker/store/mongo/indexes.def"
#undef INDEX
#undef EXPIRING
    ROWS
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
static void only_append(bson_t *index, unsigned flags)
{
    const char *field = flags & LEASED ? "lease" : flags & WITH_SUB ? "sub" : NULL;
    bson_t filter, exists;

    if (!(flags & ~(unsigned)(UNIQUE | SPARSE)))
        return;
    BSON_APPEND_DOCUMENT_BEGIN(index, "partialFilterExpression", &filter);
    if (flags & WAITING) {
        BSON_APPEND_UTF8(&filter, STATE_PATH, "waiting");
    } else if (field) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, field, &exists);
        BSON_APPEND_BOOL(&exists, "$exists", true);
        bson_append_document_end(&filter, &exists);
    } else {
        BSON_APPEND_BOOL(&filter, flags & OPEN ? "claim.open" : "unread", true);
    }
    bson_append_document_end(index, &filter);
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
    if (row->flags & SPARSE)
        BSON_APPEND_BOOL(&index, "sparse", true);
    if (row->expire_s != NEVER)
        mongo_append_int(&index, "expireAfterSeconds", row->expire_s);
    only_append(&index, row->flags);
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

/* Whether to try again: several processes start at once, and the server does not let all through.
 */
static bool once_more(enum err e, int *tries)
{
    const struct timespec pause = {.tv_nsec = BUILD_PAUSE_MS * 1000000L};

    if (e != ERR_UNAVAILABLE || ++*tries > BUILD_TRIES)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/* An index of the same keys with other options serves the same queries, so it is left alone. */
static enum err make(struct mongo *m, const struct index_row *row)
{
    bool unique = row->flags & UNIQUE;
    char name[NAME_SIZE];
    int tries = 0;
    enum err e;

    do
        e = create(m, row, unique);
    while (once_more(e, &tries));
    if (e != ERR_CONFLICT)
        return e;
    name_of(row, name);
    if (unique)
        log_warn("the index %s of collection %s cannot be made unique, which lookups do without; "
                 "remove all but the newest of documents of one name, and any other index %s",
                 name, row->collection, name);
    else
        log_info("collection %s has an index like %s, which is used instead", row->collection,
                 name);
    if (unique)
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

/* ---- the audit trail ---- */

/* The audit trail keeps about a few hundred thousand entries. */
#define AUDIT_BYTES ((int64_t)64 * 1024 * 1024)

/* Makes it, a collection of bounded size. */
static enum err audit_make(struct mongo *m)
{
    bson_t *command = BCON_NEW("create", BCON_UTF8(AUDIT), "capped", BCON_BOOL(true), "size",
                               BCON_INT64(AUDIT_BYTES));
    bson_t reply;
    enum err e = mongo_write(m, command, &reply);

    bson_destroy(command);
    if (!e)
        bson_destroy(&reply);
    if (e == ERR_INTERNAL)
        log_warn("the audit trail has no bound, since this database has no collections of bounded "
                 "size; remove old documents of collection %s from time to time",
                 AUDIT);
    return e == ERR_CONFLICT || e == ERR_INTERNAL ? ERR_OK : e;
}

/* Processes that start together begin at different rows, or each would make all of them. */
enum err mongo_indexes_make(struct mongo *m)
{
    size_t first = (size_t)getpid() * 17; /* far from each other, whatever the number of rows */
    enum err e = ERR_OK;
    int tries = 0;

    for (size_t i = 0; !e && i < ROWS; i++)
        e = make(m, &rows[(first + i) % ROWS]);
    if (!e)
        do
            e = audit_make(m);
        while (once_more(e, &tries));
    for (size_t i = 0; !e && i < sizeof kept / sizeof *kept; i++)
        e = warn_of_expiry(m, kept[i]);
    return e == ERR_INTERNAL ? ERR_UNAVAILABLE : e;
}
