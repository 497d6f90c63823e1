/* The bare loop on MongoDB: libmongoc's own calls, one at a time. */
#include "tests/bench/floor.h"

#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 1000

struct floor_db {
    mongoc_client_t *client;
    mongoc_database_t *database;
    mongoc_collection_t *jobs, *output, *wait_times;
    bool failed; /* said once why */
};

static bool fail(struct floor_db *db, const char *what, const bson_error_t *error)
{
    if (!db->failed)
        fprintf(stderr, "bench-floor: %s: %s\n", what, error->message);
    db->failed = true;
    return false;
}

static void concern_set(mongoc_uri_t *uri, const char *concern)
{
    if (!concern)
        return;
    mongoc_write_concern_t *wc = mongoc_write_concern_new();
    if (strcmp(concern, "majority") == 0)
        mongoc_write_concern_set_wmajority(wc, 4000);
    else
        mongoc_write_concern_set_w(wc, 1);
    if (strcmp(concern, "journal") == 0)
        mongoc_write_concern_set_journal(wc, true);
    mongoc_uri_set_write_concern(uri, wc);
    mongoc_write_concern_destroy(wc);
}

static void *mongo_open(const char *text, const struct floor_options *options)
{
    bson_error_t error;

    mongoc_init();
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &error);
    if (!uri || !mongoc_uri_get_database(uri)) {
        fprintf(stderr, "bench-floor: give a URI mongodb://HOST:PORT/DATABASE, not %s\n", text);
        mongoc_uri_destroy(uri);
        return NULL;
    }
    concern_set(uri, options->concern);
    struct floor_db *db = calloc(1, sizeof *db);
    if (!db)
        abort();
    const char *name = mongoc_uri_get_database(uri);
    db->client = mongoc_client_new_from_uri(uri);
    mongoc_client_set_error_api(db->client, MONGOC_ERROR_API_VERSION_2);
    db->database = mongoc_client_get_database(db->client, name);
    db->jobs = mongoc_client_get_collection(db->client, name, "jobs");
    db->output = mongoc_client_get_collection(db->client, name, "output");
    db->wait_times = mongoc_client_get_collection(db->client, name, "queue_wait_times");
    mongoc_uri_destroy(uri);
    return db;
}

static void mongo_close(void *store)
{
    struct floor_db *db = store;

    mongoc_collection_destroy(db->wait_times);
    mongoc_collection_destroy(db->output);
    mongoc_collection_destroy(db->jobs);
    mongoc_database_destroy(db->database);
    mongoc_client_destroy(db->client);
    free(db);
    mongoc_cleanup();
}

static void mongo_drop(void *store)
{
    struct floor_db *db = store;
    bson_error_t error;

    if (!mongoc_database_drop(db->database, &error))
        fail(db, "drop", &error);
}

/* ---- preparation ---- */

/* The document of a job as POST /v1/job with a minimal body makes it. */
static bson_t *job_document(uint64_t number)
{
    char id[FLOOR_ID_SIZE];

    floor_job_id(number, id);
    return BCON_NEW("created_at", BCON_DATE_TIME(floor_wall_ms()), "result_data", "{", "job_state",
                    "waiting", "}", "job_priority", BCON_INT32(0), "job_id", BCON_UTF8(id),
                    "job_data", "{", "job_queue", FLOOR_QUEUE, "exclude_agents", "[", "]", "}");
}

/* The server's indexes of these collections. */
static bool indexes_make(struct floor_db *db)
{
    static const char *const commands[] = {
        "{\"createIndexes\": \"jobs\", \"indexes\": ["
        "{\"name\": \"a\", \"key\": {\"job_id\": 1, \"created_at\": -1}},"
        "{\"name\": \"b\", \"key\": {\"result_data.job_state\": 1, \"job_data.job_queue\": 1}},"
        "{\"name\": \"c\", \"key\": {\"result_data.job_state\": 1, \"job_data.job_queue\": 1,"
        " \"job_priority\": -1, \"created_at\": 1, \"_id\": 1},"
        " \"partialFilterExpression\": {\"result_data.job_state\": \"waiting\"}}]}",
        "{\"createIndexes\": \"output\", \"indexes\": [{\"name\": \"a\", \"key\": {\"job_id\": "
        "1}}]}",
        "{\"createIndexes\": \"queue_wait_times\", \"indexes\": [{\"name\": \"a\", \"key\": "
        "{\"name\": 1}, \"unique\": true}]}",
    };
    bson_error_t error;

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        bson_t *command = bson_new_from_json((const uint8_t *)commands[i], -1, &error);
        bool ok = command && mongoc_database_write_command_with_opts(db->database, command, NULL,
                                                                     NULL, &error);
        bson_destroy(command);
        if (!ok)
            return fail(db, "index", &error);
    }
    return true;
}

static bool insert_batch(struct floor_db *db, uint64_t first, size_t n)
{
    bson_t *docs[BATCH];
    bson_error_t error;

    for (size_t i = 0; i < n; i++)
        docs[i] = job_document(first + i);
    bool ok = mongoc_collection_insert_many(db->jobs, (void *)docs, n, NULL, NULL, &error);
    for (size_t i = 0; i < n; i++)
        bson_destroy(docs[i]);
    return ok || fail(db, "preparing jobs", &error);
}

static bool mongo_prepare(void *store, uint64_t jobs)
{
    struct floor_db *db = store;
    bool ok = indexes_make(db);

    for (uint64_t i = 0; ok && i < jobs; i += BATCH)
        ok = insert_batch(db, i, jobs - i < BATCH ? jobs - i : BATCH);
    return ok;
}

/* ---- operations ---- */

static bool run_submit(struct floor_db *db, uint64_t number)
{
    bson_error_t error;
    bson_t *doc = job_document(number);
    bool ok = mongoc_collection_insert_one(db->jobs, doc, NULL, NULL, &error);

    bson_destroy(doc);
    return ok || fail(db, "insert", &error);
}

static bool push_wait(struct floor_db *db)
{
    bson_error_t error;
    bson_t *filter = BCON_NEW("name", FLOOR_QUEUE);
    bson_t *update = BCON_NEW("$push", "{", "wait_times", "{", "$each", "[", BCON_INT32(1), "]",
                              "$slice", BCON_INT32(-1000), "}", "}");
    bson_t *opts = BCON_NEW("upsert", BCON_BOOL(true));
    bool ok = mongoc_collection_update_one(db->wait_times, filter, update, opts, NULL, &error);

    bson_destroy(opts);
    bson_destroy(update);
    bson_destroy(filter);
    return ok || fail(db, "wait time", &error);
}

static bool run_claim(struct floor_db *db, uint64_t number)
{
    bson_error_t error;
    bson_t reply;
    bson_iter_t it;
    mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new();
    bson_t *filter =
        BCON_NEW("result_data.job_state", "waiting", "job_data.job_queue", FLOOR_QUEUE,
                 "job_data.attachments_status", "{", "$in", "[", BCON_NULL, "complete", "]", "}");
    bson_t *sort =
        BCON_NEW("job_priority", BCON_INT32(-1), "created_at", BCON_INT32(1), "_id", BCON_INT32(1));
    bson_t *update = BCON_NEW("$set", "{", "result_data.job_state", "running", "started_at",
                              BCON_DATE_TIME(floor_wall_ms()), "}");

    (void)number;
    mongoc_find_and_modify_opts_set_sort(opts, sort);
    mongoc_find_and_modify_opts_set_update(opts, update);
    bool ok = mongoc_collection_find_and_modify_with_opts(db->jobs, filter, opts, &reply, &error);
    if (!ok) {
        fail(db, "findAndModify", &error);
    } else if (!bson_iter_init_find(&it, &reply, "value") || !BSON_ITER_HOLDS_DOCUMENT(&it)) {
        ok = false;
        if (!db->failed)
            fprintf(stderr, "bench-floor: the queue ran empty; prepare more jobs\n");
        db->failed = true;
    }
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(sort);
    bson_destroy(filter);
    mongoc_find_and_modify_opts_destroy(opts);
    return ok && push_wait(db);
}

static bool run_post_result(struct floor_db *db, uint64_t number)
{
    char id[FLOOR_ID_SIZE];
    bson_error_t error;

    floor_job_id(number, id);
    bson_t *filter = BCON_NEW("job_id", BCON_UTF8(id));
    bson_t *update = BCON_NEW("$set", "{", "result_data.job_state", "test", "result_data.status",
                              "{", "setup", BCON_INT32(0), "}", "}");
    bool ok = mongoc_collection_update_one(db->jobs, filter, update, NULL, NULL, &error);

    bson_destroy(update);
    bson_destroy(filter);
    return ok || fail(db, "update", &error);
}

static bool run_read(struct floor_db *db, uint64_t number, const char *field)
{
    char id[FLOOR_ID_SIZE];
    bson_error_t error = {0};
    const bson_t *doc;

    floor_job_id(number, id);
    bson_t *filter = BCON_NEW("job_id", BCON_UTF8(id));
    bson_t *opts = BCON_NEW("projection", "{", "_id", BCON_BOOL(false), field, BCON_BOOL(true), "}",
                            "limit", BCON_INT64(1));
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(db->jobs, filter, opts, NULL);
    bool ok = mongoc_cursor_next(cursor, &doc);

    if (!ok && !mongoc_cursor_error(cursor, &error))
        snprintf(error.message, sizeof error.message, "job %s is not there", id);
    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);
    return ok || fail(db, "find", &error);
}

static bool run_append(struct floor_db *db, uint64_t number)
{
    char id[FLOOR_ID_SIZE];
    bson_error_t error;

    floor_job_id(number, id);
    bson_t *filter = BCON_NEW("job_id", BCON_UTF8(id));
    bson_t *update = BCON_NEW("$push", "{", "output", BCON_UTF8(floor_text()), "}", "$set", "{",
                              "updated_at", BCON_DATE_TIME(floor_wall_ms()), "}");
    bson_t *opts = BCON_NEW("upsert", BCON_BOOL(true));
    bool ok = mongoc_collection_update_one(db->output, filter, update, opts, NULL, &error);

    bson_destroy(opts);
    bson_destroy(update);
    bson_destroy(filter);
    return ok || fail(db, "append", &error);
}

static bool mongo_run(void *store, enum floor_op op, uint64_t job)
{
    switch (op) {
    case FLOOR_SUBMIT:
        return run_submit(store, job);
    case FLOOR_CLAIM:
        return run_claim(store, job);
    case FLOOR_POST_RESULT:
        return run_post_result(store, job);
    case FLOOR_READ_RESULT:
        return run_read(store, job, "result_data");
    case FLOOR_READ_JOB:
        return run_read(store, job, "job_data");
    case FLOOR_APPEND:
        return run_append(store, job);
    case FLOOR_OPS_LEN:
        break;
    }
    return false;
}

const struct floor_backend floor_mongo = {
    .scheme = "mongodb:",
    .open = mongo_open,
    .prepare = mongo_prepare,
    .run = mongo_run,
    .drop = mongo_drop,
    .close = mongo_close,
};
