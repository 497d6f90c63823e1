/* Groups of calls, and transactions, which only replica sets have. */
#include "worker/store/mongo/db.h"

#include "common/log.h"

#include <time.h>

/* Limit of tries: when two transactions change one document, one of them fails. */
#define TRANSACTION_TRIES    8
#define TRANSACTION_PAUSE_NS 5000000L

/* Ends the open transaction. */
static enum err finish(struct mongo *m, enum err e)
{
    bson_error_t error = {0};

    if (e || m->away)
        mongoc_client_session_abort_transaction(m->session, NULL);
    else if (!mongoc_client_session_commit_transaction(m->session, NULL, &error))
        e = mongo_failed(m, "commitTransaction", &error);
    mongoc_client_session_destroy(m->session);
    m->session = NULL;
    return e;
}

static enum err attempt(struct mongo *m, mongo_work *work, void *arg)
{
    bson_error_t error = {0};
    enum err e = m->away ? mongo_ping(&m->store) : ERR_OK; /* reconnects */

    if (e)
        return e;
    m->session = mongoc_client_start_session(m->client, NULL, &error);
    if (!m->session || !mongoc_client_session_start_transaction(m->session, NULL, &error)) {
        mongoc_client_session_destroy(m->session);
        m->session = NULL;
        log_error("MongoDB begins no transaction: %s; see that the replica set has a primary",
                  error.message);
        return ERR_UNAVAILABLE;
    }
    return finish(m, work(m, arg));
}

enum err mongo_transaction(struct mongo *m, mongo_work *work, void *arg)
{
    enum err e = attempt(m, work, arg);

    for (unsigned i = 1; i < TRANSACTION_TRIES && e == ERR_UNAVAILABLE && !m->away; i++) {
        const struct timespec pause = {.tv_nsec = i * TRANSACTION_PAUSE_NS};
        nanosleep(&pause, NULL);
        e = attempt(m, work, arg);
    }
    return e;
}

/* ---- groups ----
 *
 * Every acknowledged write has reached the journals of a majority: a write with the write concern
 * {w: majority, j: true} (the URI's, unless that has its own) was acknowledged after it.
 *
 * Replica sets: each write of a group carries that write concern. One write for all would not do: a
 * primary that steps down between two of them may lose the first, become primary again, and take
 * the second on the same connection.
 *
 * A single server: earlier writes carry {w: 1}, only the last one waits. The journal is one file in
 * the order of the writes, so when a write has been flushed, all that the same server process has
 * acknowledged before are, too; also where that write changed nothing, since the server waits for
 * whatever is in the journal. It is the same process as long as the connection is not broken:
 * mongo_failed() notes a broken one, and after a pause in which the driver may have made a new one
 * run() compares the process ids. The group of another process fails, and its requests with it.
 *
 * Where the last write is known beforehand (mongo_write_last()) it waits itself; one that comes
 * after it all the same waits again. Otherwise flush() adds a write. */

/* Makes earlier writes durable by a durable write that changes nothing. */
static enum err flush(struct mongo *m)
{
    /* No document has this _id; the write concern is the URI's, not the lighter one */
    bson_t *command = doc_of("update: '" JOBS "', updates: [{q: {_id: false}, "
                             "u: {$set: {flush: true}}}]"),
           reply;
    enum err e = mongo_write_durable(m, command, &reply);

    bson_destroy(command);
    if (!e)
        bson_destroy(&reply);
    return e;
}

enum err mongo_group_begin(struct store *s)
{
    mongo_of(s)->group = (struct mongo_group){.open = true};
    s->last = false;
    return ERR_OK;
}

/* Writes of the group are visible before this, and may stay if it fails (store.def). */
enum err mongo_group_commit(struct store *s)
{
    struct mongo *m = mongo_of(s);
    enum err e = ERR_OK;

    if (m->group.deferred && !m->group.lost)
        e = flush(m);
    if (m->group.lost) {
        log_warn("MongoDB was restarted during requests: they get 503 "
                 "and may be sent again");
        e = ERR_UNAVAILABLE;
    }
    m->group = (struct mongo_group){0};
    return e;
}
