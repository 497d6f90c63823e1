/* Transactions: one for a group of calls, or one for each call outside of a group. */
#include "worker/store/sqlite/sqlite.h"

#include "common/log.h"
#include "worker/store/sqlite/checkpoint.h"

/* Pages (4 KiB) that the WAL grows by between two checkpoints, and above which a writer helps. */
#define WAL_PAGES      1000
#define WAL_PAGES_LATE 8000

/* Asks for a checkpoint of a WAL that has grown. Writers that are faster than the thread copy pages
 * themselves; a passive checkpoint waits for nobody. */
static void tidy(struct sqlite *q)
{
    if (q->wal_pages < q->wal_tidied) /* the WAL has restarted */
        q->wal_tidied = 0;
    if (q->wal_pages - q->wal_tidied < WAL_PAGES)
        return;
    q->wal_tidied = q->wal_pages;
    bool reader = sqlite_checkpoints_want(q->checkpoints);
    if (q->wal_pages > WAL_PAGES_LATE && !reader)
        sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static enum err run(struct sqlite *q, enum sql which)
{
    struct query r = query_new(q, which);

    return query_run(&r);
}

/* Some faults make SQLite roll back the whole transaction. True: it did. */
static bool ended_early(struct sqlite *q)
{
    if (!q->begun || !sqlite3_get_autocommit(q->db))
        return false;
    q->begun = false;
    return true;
}

static enum err begin(struct sqlite *q)
{
    enum err e = run(q, SQL_BEGIN);

    q->begun = !e;
    return e;
}

static void roll_back(struct sqlite *q)
{
    if (q->begun && !sqlite3_get_autocommit(q->db) && run(q, SQL_ROLLBACK))
        log_error("cannot undo a transaction on %s; see the message before", q->path);
    q->begun = false;
}

static enum err commit(struct sqlite *q)
{
    enum err e = run(q, SQL_COMMIT);

    if (e)
        roll_back(q);
    q->begun = false;
    if (!e)
        tidy(q);
    return e;
}

static enum err begin_in_group(struct sqlite *q)
{
    struct sqlite_group *g = &q->group;

    if (g->failure)
        return g->failure;
    if (!q->begun) {
        g->failure = begin(q);
        g->refused = g->failure != ERR_OK;
        if (g->failure)
            return g->failure;
    }
    return run(q, SQL_SAVE);
}

static enum err end_in_group(struct sqlite *q, enum err e)
{
    struct sqlite_group *g = &q->group;
    enum err undo = ERR_OK;

    if (e && !ended_early(q)) {
        undo = run(q, SQL_UNDO);
        if (!undo)
            undo = run(q, SQL_RELEASE);
        if (undo)
            roll_back(q);
    } else if (!e) {
        e = run(q, SQL_RELEASE);
        if (e)
            roll_back(q);
    }
    if (!q->begun)
        g->failure = e ? e : ERR_UNAVAILABLE;
    return e;
}

enum err sqlite_write_begin(struct sqlite *q)
{
    if (q->group.open)
        return begin_in_group(q);
    enum err e = sqlite_file_check(q);
    return e ? e : begin(q);
}

enum err sqlite_write_end(struct sqlite *q, enum err e)
{
    if (q->group.open)
        return end_in_group(q, e);
    if (!e)
        return commit(q);
    roll_back(q);
    return e;
}

enum err sqlite_group_begin(struct store *s)
{
    struct sqlite *q = sqlite_of(s);

    enum err e = sqlite_file_check(q);

    if (!e)
        q->group = (struct sqlite_group){.open = true};
    return e;
}

enum err sqlite_group_commit(struct store *s)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = q->group.refused ? ERR_OK : q->group.failure;

    q->group = (struct sqlite_group){0};
    if (q->begun)
        return commit(q);
    return e;
}
