/* The bare loop on SQLite: one statement after the other, each in a transaction of its own. */
#include "tests/bench/floor.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME  "sqlite:"
#define BUSY_MS 10000

static const char tables[] =
    "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, queue TEXT NOT "
    "NULL, state TEXT NOT NULL, priority INTEGER NOT NULL, created_at INTEGER NOT NULL, started_at "
    "INTEGER, job_data TEXT NOT NULL, result_data TEXT NOT NULL);"
    "CREATE INDEX jobs_id ON jobs (job_id, created_at);"
    "CREATE INDEX jobs_state ON jobs (state, queue);"
    "CREATE INDEX jobs_waiting ON jobs (queue, priority DESC, created_at, id) WHERE state = "
    "'waiting';"
    "CREATE TABLE output (id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, text TEXT NOT NULL, at "
    "INTEGER NOT NULL);"
    "CREATE INDEX output_id ON output (job_id, id);"
    "CREATE TABLE wait_times (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, seconds INTEGER NOT "
    "NULL);"
    "CREATE INDEX wait_times_queue ON wait_times (queue, id);";

enum statement {
    STATEMENT_SUBMIT,
    STATEMENT_CLAIM,
    STATEMENT_WAIT,
    STATEMENT_POST_RESULT,
    STATEMENT_READ_RESULT,
    STATEMENT_READ_JOB,
    STATEMENT_APPEND,
    STATEMENTS_LEN
};

/* ?1 is the job's id, ?2 the time in milliseconds, ?3 the text. */
static const char *const texts[STATEMENTS_LEN] = {
    [STATEMENT_SUBMIT] =
        "INSERT INTO jobs (job_id, queue, state, priority, created_at, job_data, result_data) "
        "VALUES (?1, '" FLOOR_QUEUE "', 'waiting', 0, ?2, '{\"job_queue\": \"" FLOOR_QUEUE
        "\", \"exclude_agents\": []}', '{\"job_state\": \"waiting\"}')",
    [STATEMENT_CLAIM] =
        "UPDATE jobs SET state = 'running', started_at = ?2, result_data = json_set(result_data, "
        "'$.job_state', 'running') WHERE id = (SELECT id FROM jobs WHERE state = 'waiting' AND "
        "queue = '" FLOOR_QUEUE
        "' AND coalesce(json_extract(job_data, '$.attachments_status'), 'complete') = 'complete' "
        "ORDER BY priority DESC, created_at, id LIMIT 1) RETURNING job_id, job_data, created_at",
    [STATEMENT_WAIT] = "INSERT INTO wait_times (queue, seconds) VALUES ('" FLOOR_QUEUE "', 1)",
    [STATEMENT_POST_RESULT] =
        "UPDATE jobs SET state = 'test', result_data = json_set(result_data, '$.job_state', "
        "'test', '$.status', json('{\"setup\": 0}')) WHERE job_id = ?1",
    [STATEMENT_READ_RESULT] = "SELECT result_data FROM jobs WHERE job_id = ?1",
    [STATEMENT_READ_JOB] = "SELECT job_data FROM jobs WHERE job_id = ?1",
    [STATEMENT_APPEND] = "INSERT INTO output (job_id, text, at) VALUES (?1, ?3, ?2)",
};

struct floor_db {
    sqlite3 *db;
    const char *path;
    sqlite3_stmt *statements[STATEMENTS_LEN]; /* made at first use: the tables may not be there */
    bool failed;                              /* said once why */
};

static bool fail(struct floor_db *f, const char *what)
{
    if (!f->failed)
        fprintf(stderr, "bench-floor: %s: %s\n", what, sqlite3_errmsg(f->db));
    f->failed = true;
    return false;
}

static bool sql(struct floor_db *f, const char *text)
{
    return sqlite3_exec(f->db, text, NULL, NULL, NULL) == SQLITE_OK || fail(f, text);
}

static void lite_close(void *store)
{
    struct floor_db *f = store;

    for (int i = 0; i < STATEMENTS_LEN; i++)
        sqlite3_finalize(f->statements[i]);
    sqlite3_close(f->db);
    free(f);
}

static void *lite_open(const char *uri, const struct floor_options *options)
{
    bool full = !options->sync || strcmp(options->sync, "full") == 0;
    struct floor_db *f = calloc(1, sizeof *f);

    if (!f)
        abort();
    f->path = uri + strlen(SCHEME);
    if (sqlite3_open(f->path, &f->db) != SQLITE_OK || sqlite3_busy_timeout(f->db, BUSY_MS) ||
        !sql(f, "PRAGMA journal_mode = WAL") ||
        !sql(f, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL")) {
        fail(f, f->path);
        lite_close(f);
        return NULL;
    }
    return f;
}

static void lite_drop(void *store)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct floor_db *f = store;
    char path[4096];

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (snprintf(path, sizeof path, "%s%s", f->path, suffixes[i]) < (int)sizeof path)
            remove(path);
}

static sqlite3_stmt *statement(struct floor_db *f, enum statement which)
{
    sqlite3_stmt **st = &f->statements[which];

    if (!*st && sqlite3_prepare_v3(f->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL))
        fail(f, texts[which]);
    return *st;
}

/* Runs one statement; true when it found or changed what it is about. */
static bool step(struct floor_db *f, enum statement which, uint64_t job)
{
    char id[FLOOR_ID_SIZE];
    sqlite3_stmt *st = statement(f, which);
    bool row = false;
    int rc;

    if (!st)
        return false;
    floor_job_id(job, id);
    if (sqlite3_bind_parameter_count(st) >= 1)
        sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_bind_parameter_count(st) >= 2)
        sqlite3_bind_int64(st, 2, floor_wall_ms());
    if (sqlite3_bind_parameter_count(st) >= 3)
        sqlite3_bind_text(st, 3, floor_text(), FLOOR_TEXT_SIZE, SQLITE_STATIC);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        row = true;
    bool ok = rc == SQLITE_DONE || fail(f, texts[which]);
    sqlite3_reset(st);
    if (ok && !row && !(!sqlite3_stmt_readonly(st) && sqlite3_changes(f->db) > 0)) {
        if (!f->failed)
            fprintf(stderr, "bench-floor: nothing found by: %s\n", texts[which]);
        f->failed = true;
        return false;
    }
    return ok;
}

static bool lite_prepare(void *store, uint64_t jobs)
{
    struct floor_db *f = store;
    bool ok = sql(f, tables) && sql(f, "BEGIN IMMEDIATE");

    for (uint64_t i = 0; ok && i < jobs; i++)
        ok = step(f, STATEMENT_SUBMIT, i);
    return ok && sql(f, "COMMIT") && sql(f, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static bool claim(struct floor_db *f, uint64_t job)
{
    if (!sql(f, "BEGIN IMMEDIATE"))
        return false;
    bool ok = step(f, STATEMENT_CLAIM, job) && step(f, STATEMENT_WAIT, job);

    return sql(f, ok ? "COMMIT" : "ROLLBACK") && ok;
}

static bool lite_run(void *store, enum floor_op op, uint64_t job)
{
    static const enum statement of[FLOOR_OPS_LEN] = {
        [FLOOR_SUBMIT] = STATEMENT_SUBMIT,           [FLOOR_POST_RESULT] = STATEMENT_POST_RESULT,
        [FLOOR_READ_RESULT] = STATEMENT_READ_RESULT, [FLOOR_READ_JOB] = STATEMENT_READ_JOB,
        [FLOOR_APPEND] = STATEMENT_APPEND,
    };

    return op == FLOOR_CLAIM ? claim(store, job) : step(store, of[op], job);
}

const struct floor_backend floor_sqlite = {
    .scheme = SCHEME,
    .open = lite_open,
    .prepare = lite_prepare,
    .run = lite_run,
    .drop = lite_drop,
    .close = lite_close,
};
