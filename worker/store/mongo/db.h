/* Queries and writes. Every document that is handed over (`filter`, `update`, ...) is taken: it is
 * destroyed by the call, also when that fails. A NULL one, which cannot be BSON: ERR_INTERNAL.
 * The names in capitals take the members of the struct as named arguments:
 *
 *     struct db_found f;
 *     enum err e = DB_FIND(m, &f, .collection = JOBS, .filter = doc_of("job_id: ?", v_text(id)),
 *                          .fields = "job_data: true", .index = IX_JOB_ID, .limit = 9);
 *     while (!e && db_next(&f))
 *         use(&f.doc);
 *     db_end(&f);
 *
 *     e = DB_UPDATE(m, JOBS, &done, .filter = ..., .update = ...);
 *
 * Errors as in store.h, logged; ERR_CONFLICT: duplicate key; ERR_INVALID: not allowed to this user.
 */
#ifndef WORKER_STORE_MONGO_DB_H
#define WORKER_STORE_MONGO_DB_H

#include "worker/store/mongo/doc.h"
#include "worker/store/mongo/mongo.h"

/* The index that a command must use: a row of indexes.def, or that of _id. */
enum db_index {
    IX_NONE, /* the server chooses an index */
    IX_ID,
#define INDEX(id, ...) IX_##id,
#define EXPIRING       INDEX
#include "worker/store/mongo/indexes.def"
#undef INDEX
#undef EXPIRING
    IX_COUNT_
};

/* The keys of an index as text for doc_of(). */
const char *index_keys(enum db_index index);

/* ---- reads ---- */

struct db_query {
    const char *collection;
    bson_t *filter;
    const char *fields; /* projection; NULL: all */
    const char *sort;   /* NULL: none, or that of the index with in_order */
    enum db_index index;
    bool in_order;
    int limit;  /* of documents, at least 1 */
    bool *more; /* out: others match that are not in the batch; NULL: nobody asks */
};

/* What was found; the documents point into it. */
struct db_found {
    bson_t reply;
    bson_iter_t batch;
    bson_t doc; /* the current one */
};

/* Runs a query; db_next() steps to the next document of its one batch, false: no more. The server
 * ends a batch at 16 MiB, so a short batch does not mean that there are no others: `more` does.
 * db_end() frees; also callable after a failed query. */
#define DB_FIND(m, ret, ...)  db_find(m, &(struct db_query){__VA_ARGS__}, ret)
#define DB_FIRST(m, ret, ...) db_first(m, &(struct db_query){__VA_ARGS__}, ret)
enum err db_find(struct mongo *m, const struct db_query *q, struct db_found *ret) MUST_CHECK;
bool db_next(struct db_found *f);
void db_end(struct db_found *f);

/* The first document, which becomes the current one. ERR_NOT_FOUND. `limit` is 1. */
enum err db_first(struct mongo *m, const struct db_query *q, struct db_found *ret) MUST_CHECK;
/* The same without an index; `fields` may be NULL. */
enum err db_get(struct mongo *m, const char *collection, bson_t *filter, const char *fields,
                struct db_found *ret) MUST_CHECK;

/* An aggregation; `pipeline` is an array. Returns one batch of at most 16 MiB. */
enum err db_aggregate(struct mongo *m, const char *collection, bson_t *pipeline,
                      enum db_index index, struct db_found *ret) MUST_CHECK;

/* Passes all documents that match a filter to `take`, with their texts at `key` (a member's name)
 * and in their order, batch by batch until the end or until `take` wants no more. Skips documents
 * without such a text. `make` makes the value to pass. */
struct mongo_names {
    const char *collection, *key;
    const char *sort;      /* by the key: "KEY: 1" */
    const bson_t *filter;  /* without the key; NULL: all */
    const struct text *in; /* texts at the key that are wanted */
    size_t in_len;         /* 0: all */
    const char *fields;    /* projection with the key; NULL: all */
    enum db_index index;
    json_t *(*make)(const bson_t *doc);
};
enum err mongo_walk_names(struct mongo *m, const struct mongo_names *names,
                          const struct name_walk *w) MUST_CHECK;

/* Other commands: like mongo_read() and mongo_write(), but these take the command. */
enum err db_read(struct mongo *m, bson_t *command, bson_t *ret_reply) MUST_CHECK;
enum err db_write(struct mongo *m, bson_t *command, bson_t *ret_reply) MUST_CHECK;

/* ---- writes ---- */

/* An update of the first document that matches. `update` holds operators, or is a pipeline. */
struct db_change {
    bson_t *filter, *update;
    enum db_index index;
    bool all; /* update every document that matches */
    bool upsert;
    /* of db_modify() only, as in db_query; `after`: the document as it is then, else as it was */
    const char *fields, *sort;
    bool after;
};

struct db_done {
    int64_t matched; /* or inserted, deleted; an upsert counts */
    int64_t modified;
    size_t went_in; /* statements before the first that failed */
    bool ran;       /* the server ran the command: an error is that of a statement */
};

/* A batch of statements of one kind, at most one command's worth, run in order up to the first that
 * fails. Set the flags before the first statement. */
struct db_batch {
    const char *collection;
    bool unordered; /* those behind one that fails run, too */
    bool light;     /* acknowledged before they are durable */
    bool last;      /* of its operation: waits for the disk itself where the group ends with it */
    bool
        twice; /* all once more after ERR_CONFLICT: upserts, of which two made a document at once */
    /* out, one for each statement, the caller's arrays; NULL: nobody asks. With `errs` an error of
     * a statement is its own, not that of the call. */
    enum err *errs;
    bool *made; /* it made a document */
    /* the command, and the array in it while that is open: the struct must not be moved */
    bson_t command, list;
    bool open;
    size_t n;
    bool bad; /* a document cannot be BSON */
};
#define DB_BATCH(name)                                                                             \
    {                                                                                              \
        .collection = (name), .command = BSON_INITIALIZER                                          \
    }
#define DB_ADD_UPDATE(b, ...) db_add_update(b, &(struct db_change){__VA_ARGS__})
void db_add_insert(struct db_batch *b, bson_t *doc);
void db_add_update(struct db_batch *b, const struct db_change *c);
void db_add_delete(struct db_batch *b, bson_t *filter, bool all);

/* Runs a batch of n inserts that is `unordered`. errs[i]: what became of each; a document that was
 * there before counts as inserted. */
void db_run_inserts(struct mongo *m, struct db_batch *b, enum err errs[], size_t n);

/* Runs the batch, unless it is empty, and empties it. Returns the error of the first statement that
 * failed; *ret (may be NULL) is filled then, too. */
enum err db_run(struct mongo *m, struct db_batch *b, struct db_done *ret) MUST_CHECK;
void db_drop(struct db_batch *b); /* empties it */

/* Batches of one statement. */
#define DB_UPDATE(m, collection, ret, ...)                                                         \
    db_update(m, collection, &(struct db_change){__VA_ARGS__}, ret)
#define DB_MODIFY(m, collection, ret, ...)                                                         \
    db_modify(m, collection, &(struct db_change){__VA_ARGS__}, ret)
enum err db_insert(struct mongo *m, const char *collection, bson_t *doc) MUST_CHECK;
enum err db_update(struct mongo *m, const char *collection, const struct db_change *c,
                   struct db_done *ret) MUST_CHECK;
enum err db_delete(struct mongo *m, const char *collection, bson_t *filter, bool all,
                   struct db_done *ret) MUST_CHECK;
/* An update of a document that must exist: ERR_NOT_FOUND. */
enum err db_set(struct mongo *m, const char *collection, bson_t *filter, bson_t *update) MUST_CHECK;
/* An upsert; `twice`. */
enum err db_upsert(struct mongo *m, const char *collection, bson_t *filter,
                   bson_t *update) MUST_CHECK;

/* Updates the first document (findAndModify) and returns it as the current one. ERR_NOT_FOUND. With
 * `upsert`, tries again after ERR_CONFLICT. */
enum err db_modify(struct mongo *m, const char *collection, const struct db_change *c,
                   struct db_found *ret) MUST_CHECK;

#endif
