/* Creates the tables of a new file, and updates those of an older one. */
#include "worker/store/sqlite/sqlite.h"

#include "common/log.h"

#include <stdio.h>

/* Marks a file as ours (PRAGMA application_id): "TFSC". */
#define APPLICATION_ID 0x54465343

static const char *const migrations[] = {
#define MIGRATION(...) __VA_ARGS__,
#include "worker/store/sqlite/migrations.def"
#undef MIGRATION
};

enum { VERSION = sizeof migrations / sizeof *migrations };

static enum err exec(struct sqlite *q, const char *sql)
{
    int code = sqlite3_exec(q->db, sql, NULL, NULL, NULL);

    return code ? sqlite_fault(q, code) : ERR_OK;
}

/* The number that a statement returns. */
static enum err number(struct sqlite *q, const char *sql, int64_t *ret)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(q->db, sql, -1, &st, NULL);

    if (!code)
        code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return code == SQLITE_ROW ? ERR_OK : sqlite_fault(q, code);
}

/* The version of the file's tables, read in a transaction: another process may be creating them. */
static enum err version_of(struct sqlite *q, int64_t *ret)
{
    int64_t id = 0, version = 0, things = 0;
    /* Another process may create the tables meanwhile: read the id, which marks them as ours, last.
     */
    enum err e = number(q, "SELECT count(*) FROM sqlite_schema", &things);

    if (!e)
        e = number(q, "PRAGMA user_version", &version);
    if (!e)
        e = number(q, "PRAGMA application_id", &id);
    if (e)
        return e == ERR_INTERNAL ? ERR_INVALID : e;
    if (id != APPLICATION_ID && (id || version || things)) {
        log_error("%s is the database of another program; set --store to another path", q->path);
        return ERR_INVALID;
    }
    if (version > VERSION) {
        log_error("%s was last used by a newer version of this server; use that version, or stop "
                  "all and restore the copy %s.DATE.version-N of before the upgrade, without what "
                  "came since (README, Upgrade)",
                  q->path, q->path);
        return ERR_INVALID;
    }
    *ret = version;
    return ERR_OK;
}

static enum err version_now(struct sqlite *q, int64_t *ret)
{
    enum err e = exec(q, "BEGIN");

    if (e)
        return e;
    e = version_of(q, ret);
    enum err end = exec(q, "COMMIT");
    return e ? e : end;
}

/* Updates the file to our version, in one transaction. */
static enum err migrate(struct sqlite *q)
{
    char pragma[64];
    int64_t version;
    enum err e = version_of(q, &version); /* another process may have updated it meanwhile */

    if (e || version == VERSION)
        return e;
    if (version > 0)
        e = sqlite_backup(q, version);
    for (int64_t i = version; !e && i < VERSION; i++)
        e = exec(q, migrations[i]);
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", (int)VERSION);
    if (!e)
        e = exec(q, pragma);
    snprintf(pragma, sizeof pragma, "PRAGMA application_id = %d", APPLICATION_ID);
    if (!e)
        e = exec(q, pragma);
    if (!e)
        log_info("updated the tables of %s to version %d", q->path, (int)VERSION);
    return e;
}

enum err sqlite_schema_make(struct sqlite *q)
{
    int64_t version;
    enum err e = version_now(q, &version); /* up to date: needs neither a lock nor space */

    if (e || version == VERSION)
        return e;
    int code = sqlite3_exec(q->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if ((code & 0xff) == SQLITE_BUSY) {
        log_warn("waiting for another process to change the tables of %s, or to end; a large file "
                 "takes a while to be copied first",
                 q->path);
        return ERR_UNAVAILABLE;
    }
    if (code)
        return sqlite_fault(q, code);
    e = migrate(q);
    if (!e)
        e = exec(q, "COMMIT");
    if (e && !sqlite3_get_autocommit(q->db) && exec(q, "ROLLBACK"))
        log_error("cannot undo the change of the tables of %s; see the message before", q->path);
    return e;
}
