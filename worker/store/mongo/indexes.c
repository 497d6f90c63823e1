/* Makes the indexes of indexes.def, and the hints that queries use. */
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/outbox.h"

#include "common/log.h"
#include "worker/store/mongo/auth.h"
#include "worker/store/mongo/db.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME_SIZE 128

#define BUILD_TRIES    20
#define BUILD_PAUSE_MS 100

enum flag {
    UNIQUE = 1,
    SPARSE = 2,
    WAITING = 4,     /* holds jobs that wait: an entry ends with the wait */
    OPEN = 8,        /* jobs whose claim is open: few at any time */
    UNREAD = 16,     /* fragments of logs for readers of live output */
    LEASED = 32,     /* jobs that run */
    WITH_SUB = 64,   /* clients that log in by OpenID */
    TIMED = 128,     /* jobs that wait and have a queue_timeout */
    SUBMITTED = 256, /* jobs whose submitter is known */
    TAKEN = 512      /* jobs that an agent has, or had */
};

#define NEVER (-1) /* expires */

static const struct index_row {
    const char *collection;
    const char *name; /* NULL: the default that drivers make of the keys */
    unsigned flags;
    int64_t expire_s;
    const char *keys;
} rows[] = {
#define INDEX(id, collection, name, flags, keys)       {collection, name, flags, NEVER, keys},
#define EXPIRING(id, collection, flags, seconds, keys) {collection, NULL, flags, seconds, keys},
#include "worker/store/mongo/indexes.def"
#undef INDEX
#undef EXPIRING
};
#define ROWS (sizeof rows / sizeof *rows)

/* Collections whose documents belong to jobs: those of active jobs must not expire. */
static const char *const kept[] = {JOBS, OUTPUT, SERIAL, LOGS, "fs.files", "fs.chunks"};

static void name_of(const struct index_row *row, const bson_t *keys, char out[NAME_SIZE])
{
    size_t used = 0;
    bson_iter_t it;

    if (row->name)
        snprintf(out, NAME_SIZE, "%s", row->name);
    else if (bson_iter_init(&it, keys))
        while (bson_iter_next(&it) && used < NAME_SIZE)
            used += (size_t)snprintf(out + used, NAME_SIZE - used, "%s%s_%d", used ? "_" : "",
                                     bson_iter_key(&it), bson_iter_int32(&it));
}

/* The filter of a partial index; NULL: it has all documents. */
static const char *only(unsigned flags)
{
    return flags & WAITING     ? STATE_PATH ": 'waiting'"
           : flags & OPEN      ? "claim.open: true"
           : flags & UNREAD    ? "unread: {$exists: true}"
           : flags & LEASED    ? "lease: {$exists: true}"
           : flags & TIMED     ? STATE_PATH ": 'waiting', wait_until: {$exists: true}"
           : flags & SUBMITTED ? "submitter: {$exists: true}"
           : flags & TAKEN     ? "claim.owner: {$exists: true}"
           : flags & WITH_SUB  ? "sub: {$exists: true}"
                               : NULL;
}

static enum err create(struct mongo *m, const struct index_row *row, bool unique)
{
    bson_t *keys = doc_of(row->keys), reply;
    const char *filter = only(row->flags);
    char name[NAME_SIZE];

    name_of(row, keys, name);
    enum err e = db_write(
        m,
        doc_of("createIndexes: ?, indexes: [{key: ?, name: ?, unique: ?, sparse: ?, "
               "expireAfterSeconds: ?, partialFilterExpression: ?}], commitQuorum: ?",
               v_str(row->collection), v_own(keys), v_str(name), unique ? v_bool(true) : v_none(),
               row->flags & SPARSE ? v_bool(true) : v_none(),
               row->expire_s != NEVER ? v_int(row->expire_s) : v_none(),
               filter ? v_own(doc_of(filter)) : v_none(),
               /* a member that is down must not block the start */
               m->replica_set ? v_str("majority") : v_none()),
        &reply);
    if (!e)
        bson_destroy(&reply);
    return e;
}

/* Tries again: processes start at once, and the server rejects some concurrent builds. */
static bool once_more(enum err e, int *tries)
{
    const struct timespec pause = {.tv_nsec = BUILD_PAUSE_MS * 1000000L};

    if (e != ERR_UNAVAILABLE || ++*tries > BUILD_TRIES)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/* Leaves alone an index of the same keys with other options: it serves the same queries. */
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
    bson_t *keys = doc_of(row->keys);
    name_of(row, keys, name);
    bson_destroy(keys);
    if (unique)
        log_warn("cannot make index %s of collection %s unique; lookups work without it; "
                 "remove all but the newest of documents of one name, and any other index %s",
                 name, row->collection, name);
    else
        log_info("using an existing index of collection %s in place of %s", row->collection, name);
    if (unique)
        e = create(m, row, false);
    return e == ERR_CONFLICT ? ERR_OK : e;
}

/* ---- indexes that are there ---- */

/* Of earlier versions: no query uses them, and each write moves them. */
static const struct {
    const char *collection, *name, *keys;
} dropped[] = {
#define DROPPED(collection, name, keys) {collection, name, keys},
#define INDEX(...)
#define EXPIRING(...)
#include "worker/store/mongo/indexes.def"
#undef INDEX
#undef EXPIRING
};

/* Only with just these keys: another program may have made one of that name. */
static bool is_dropped(const char *collection, const char *name, const bson_t *keys)
{
    bool found = false;

    for (size_t i = 0; !found && i < sizeof dropped / sizeof *dropped; i++) {
        bson_t *old = doc_of(dropped[i].keys);
        found = strcmp(dropped[i].collection, collection) == 0 &&
                strcmp(dropped[i].name, name) == 0 && bson_equal(old, keys);
        bson_destroy(old);
    }
    return found;
}

/* Removes an index; another process may be faster. */
static void drop(struct mongo *m, const char *collection, const char *name)
{
    bson_t reply;
    enum err e =
        db_write(m, doc_of("dropIndexes: ?, index: ?", v_str(collection), v_str(name)), &reply);

    if (!e) {
        bson_destroy(&reply);
        log_info("removed index %s of collection %s, which an earlier version made and no query "
                 "uses",
                 name, collection);
    } else if (e != ERR_NOT_FOUND) {
        log_warn("cannot remove index %s of collection %s, which only costs time; remove it in "
                 "mongosh: db.getCollection(\"%s\").dropIndex(\"%s\")",
                 name, collection, collection, name);
    }
}

static bool is_made(const char *collection, const char *name)
{
    char own[NAME_SIZE];
    bool made = strcmp(name, "_id_") == 0;

    for (size_t i = 0; !made && i < ROWS; i++) {
        bson_t *keys = doc_of(rows[i].keys);
        name_of(&rows[i], keys, own);
        bson_destroy(keys);
        made = strcmp(rows[i].collection, collection) == 0 && strcmp(own, name) == 0;
    }
    return made;
}

/* Removes an index of an earlier version. Tells of those that other programs made: some delete by
 * age, whatever the state of the job, the others cost time at each write. */
static void inspect(struct mongo *m, const char *collection, const bson_t *index)
{
    int64_t seconds = doc_int(index, "expireAfterSeconds", -1);
    const char *name = doc_str(index, "name");
    bson_t keys;

    if (!name || !doc_inner(index, "key", &keys))
        return;
    if (is_dropped(collection, name, &keys))
        drop(m, collection, name);
    else if (is_made(collection, name))
        return;
    else if (seconds >= 0)
        log_warn("index %s of collection %s deletes data %lld s after its date, that of active "
                 "jobs too; remove it in mongosh: db.getCollection(\"%s\").dropIndex(\"%s\")",
                 name, collection, (long long)seconds, collection, name);
    else
        log_info("index %s of collection %s is used by no query of this server and makes its "
                 "writes slower; unless another program needs it, remove it in mongosh: "
                 "db.getCollection(\"%s\").dropIndex(\"%s\")",
                 name, collection, collection, name);
}

static enum err inspect_all(struct mongo *m, const char *collection)
{
    bson_t reply, index;
    bson_iter_t batch;
    enum err e = db_read(m, doc_of("listIndexes: ?", v_str(collection)), &reply);

    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (doc_list(&reply, "cursor.firstBatch", &batch))
        while (bson_iter_next(&batch) && doc_view(&batch, &index))
            inspect(m, collection, &index);
    bson_destroy(&reply);
    return ERR_OK;
}

/* ---- the audit trail ---- */

/* Size of the audit trail: a few hundred thousand entries. */
#define AUDIT_BYTES ((int64_t)64 * 1024 * 1024)

/* Makes it as a capped collection. */
static enum err audit_make(struct mongo *m)
{
    bson_t reply;
    enum err e = db_write(
        m, doc_of("create: ?, capped: true, size: ?", v_str(AUDIT), v_int64(AUDIT_BYTES)), &reply);

    if (!e)
        bson_destroy(&reply);
    if (e == ERR_INTERNAL)
        log_warn("the audit trail grows without limit: this database has no capped "
                 "collections; remove old documents of collection %s from time to time",
                 AUDIT);
    return e == ERR_CONFLICT || e == ERR_INTERNAL ? ERR_OK : e;
}

/* Start at different rows: processes that start together would each build all indexes. */
enum err mongo_indexes_make(struct mongo *m)
{
    size_t first = (size_t)getpid() * 17; /* far apart for any number of rows */
    enum err e;
    int tries = 0;

    do
        e = audit_make(m); /* before its index, which would make a collection that grows */
    while (once_more(e, &tries));
    for (size_t i = 0; !e && i < ROWS; i++)
        e = make(m, &rows[(first + i) % ROWS]);
    for (size_t i = 0; !e && i < sizeof kept / sizeof *kept; i++)
        e = inspect_all(m, kept[i]);
    return e == ERR_INTERNAL ? ERR_UNAVAILABLE : e;
}
