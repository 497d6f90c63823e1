/* Shared by the files of the SQLite back end: connection, transactions, statements. */
#ifndef WORKER_STORE_SQLITE_SQLITE_H
#define WORKER_STORE_SQLITE_SQLITE_H

#include "worker/jobs/looks.h"
#include "worker/store/store.h"

#include <sqlite3.h>

/* Characters of a column `requests`: REQUESTS_MAX ids. */
#define REQUESTS_CHARACTERS "576"
_Static_assert(REQUESTS_MAX *(REQUEST_ID_SIZE - 1) == 576, "REQUESTS_CHARACTERS is wrong");

/* The statements of statements.def. */
enum sql {
#define SQL(name, text) name,
#include "worker/store/sqlite/statements.def"
#undef SQL
    SQL_COUNT_
};

/* The calls of a group share one transaction, which its first write begins: groups that only read
 * never wait for writers. */
struct sqlite_group {
    bool open;
    bool refused;     /* no transaction could be begun; the others are not kept waiting for it */
    enum err failure; /* why it was refused, or the transaction ended early: all of it is lost */
};

/* One connection; every process has its own. */
struct sqlite {
    struct store store; /* first member */
    sqlite3 *db;
    char *path;
    enum sqlite_sync sync;
    int64_t checked_ms; /* when the file was last seen to be the one at its path */
    int64_t timeout_ms; /* that another process may keep us waiting */
    int64_t busy_since; /* clock_mono_ms, while another process holds a lock */
    bool begun;         /* a transaction that writes is open */
    struct sqlite_group group;
    int wal_pages;  /* in the write-ahead log after the last commit */
    int wal_tidied; /* of them when a checkpoint was last asked for */
    struct sqlite_checkpoints *checkpoints;
    int fault; /* code of the fault that was logged last, and when */
    int64_t fault_ms;
    struct looks looks;             /* of claims */
    int clock_fd;                   /* see clock.c */
    int64_t clock_us;               /* what clock_boot_us() lacks to the time since the epoch */
    struct sqlite_secrets *secrets; /* NULL: no keys */
    sqlite3_stmt *statements[SQL_COUNT_];
};

static inline struct sqlite *sqlite_of(struct store *s)
{
    return (struct sqlite *)s;
}

#define STORE_OP(name, params, args) enum err sqlite_##name params MUST_CHECK;
#include "worker/store/store.def"
#undef STORE_OP

/* Copies the file, whose tables have this version, before they change. The caller has begun a
 * transaction that writes and has written nothing. Takes as long as the file is large. ERR_INVALID
 * (logged): there is no copy. */
enum err sqlite_backup(struct sqlite *q, int64_t version) MUST_CHECK;

/* Makes or completes the tables; copies the file before it completes older ones. ERR_INVALID: the
 * file is not ours, of a newer version, or cannot be copied. */
enum err sqlite_schema_make(struct sqlite *q) MUST_CHECK;

/* ---- the connection (connection.c) ---- */

/* Opens the file, created if missing, and its tables. After an error, close the connection.
 * ERR_INVALID: not a database of ours; ERR_UNAVAILABLE: try again. */
enum err sqlite_connect(struct sqlite *q) MUST_CHECK;

/* Closes it; the rest of q stays. */
void sqlite_disconnect(struct sqlite *q);

/* Opens the file again if another one is at its path. ERR_UNAVAILABLE: it cannot be opened now; the
 * next call tries again. */
enum err sqlite_file_check(struct sqlite *q) MUST_CHECK;

/* The error for SQLite's code; logs it with advice for the operator. */
enum err sqlite_fault(struct sqlite *q, int code) MUST_CHECK;

/* Removes up to `limit` entries of live output that were taken before that time (output.c). */
enum err sqlite_output_purge(struct sqlite *q, int64_t before_ms, int limit,
                             bool *ret_more) MUST_CHECK;

/* ---- the clock (clock.c) ---- */

/* Finds the clock of the processes on this file; of the first one, that is this machine's.
 * ERR_UNAVAILABLE: the file for it cannot be used (logged). */
enum err sqlite_clock_open(struct sqlite *q) MUST_CHECK;
void sqlite_clock_close(struct sqlite *q);

/* store_now_ms(). */
int64_t sqlite_now_ms(const struct sqlite *q);

/* ---- transactions (transaction.c) ---- */

/* Enclose all writes of an operation, and the reads that decide on them. end() takes the result so
 * far; after any error, nothing is kept. Returns that error, or the one of the commit. Not
 * nestable. */
enum err sqlite_write_begin(struct sqlite *q) MUST_CHECK;
enum err sqlite_write_end(struct sqlite *q, enum err e) MUST_CHECK;

/* ---- statements (query.c) ---- */

/* One run of a statement. A failure to prepare or bind appears at the next step. */
struct query {
    struct sqlite *q;
    sqlite3_stmt *st;
    int bound; /* number of bound parameters */
    int code;  /* of SQLite */
};

struct query query_new(struct sqlite *q, enum sql which);

/* Bind the next parameter. Text is borrowed until the query ends. */
void query_int(struct query *r, int64_t value);
void query_text(struct query *r, struct text t);
void query_str(struct query *r, const char *s); /* NULL: null */
void query_blob(struct query *r, struct text t);
void query_null(struct query *r);
void query_int_or_null(struct query *r, int64_t value); /* 0: null */
void query_given(struct query *r, struct text t);       /* s NULL: null */

/* ERR_OK: a row; ERR_NOT_FOUND: no further row; else an error, logged. */
enum err query_step(struct query *r) MUST_CHECK;

/* Ends the run; invalidates its texts and columns. */
void query_end(struct query *r);

/* Runs a statement without rows and ends it. */
enum err query_run(struct query *r) MUST_CHECK;

/* Steps once and ends. ERR_NOT_FOUND: no row. */
enum err query_probe(struct query *r) MUST_CHECK;

/* Number of rows changed by the last statement that changed any. */
int query_changes(const struct query *r);

/* Columns of the row, from 0. Texts are valid until the next step. */
int64_t query_col_int(const struct query *r, int column);
struct text query_col_text(const struct query *r, int column); /* s NULL: null */
const char *query_col_str(const struct query *r, int column);  /* "" where it is null */

/* Copies that the caller owns. */
char *query_col_dup(const struct query *r, int column);   /* "" for null */
char *query_col_given(const struct query *r, int column); /* NULL for null */
/* Copies a text that fits; "" when it is null or longer. */
void query_col_copy(const struct query *r, int column, char *out, size_t size);

/* A text, a number as JSON; null where the column is, or the text is not UTF-8. New references. */
json_t *query_col_json_text(const struct query *r, int column) MUST_CHECK;
json_t *query_col_json_int(const struct query *r, int column) MUST_CHECK;

/* A column of JSON text as a new reference; NULL (logged): not JSON. */
json_t *query_col_json(const struct query *r, int column) MUST_CHECK;

/* ---- documents ---- */

/* The JSON text of a value, owned by the caller. ERR_TOO_LARGE; ERR_INTERNAL (logged): nested too
 * deep. */
enum err sqlite_json(const json_t *value, char **ret, size_t *ret_len) MUST_CHECK;

bool sqlite_text_is(struct text a, struct text b);

/* An array of texts as JSON of their bytes in hexadecimal, for TEXTS_OF (statements.def); owned by
 * the caller. ERR_TOO_LARGE. */
enum err sqlite_json_hex(const json_t *strings, char **ret) MUST_CHECK;

/* Adds the functions that statements use to a connection; returns SQLite's code. */
int sqlite_functions_add(sqlite3 *db) MUST_CHECK;

#endif
