/* What the files of the outbox share.
 *
 * An event is a document of `webhook_outbox`, a lane that is not empty one of `webhook_lanes`. They
 * are written one after the other: the event first, then its lane, whose `wake` is raised, so that
 * whoever finds a lane empty removes it only if nothing came meanwhile. A process that dies between
 * the two leaves an event that was not acknowledged and that no lane knows of: outbox_purge() gives
 * it one. */
#ifndef WORKER_STORE_MONGO_OUTBOX_H
#define WORKER_STORE_MONGO_OUTBOX_H

#include "worker/store/mongo/db.h"

#define OUTBOX "webhook_outbox"
#define LANES  "webhook_lanes"

/* The state of an event as stored, "pending", "delivered" or "dead"; the state in a document. */
const char *outbox_state_text(enum outbox_state state);
enum outbox_state outbox_state_of(const bson_t *event);

/* Makes a batch of events or lanes whose statements do not stop each other. */
void outbox_batch(struct db_batch *b, const char *collection);

/* Adds a further event of a lane, or makes the lane: claimed until `due_ms` under `token`, or
 * without one due then. Run it as `twice`. */
void outbox_add_wake(struct db_batch *lanes, const char *lane, const char *receiver,
                     const char *token, int64_t due_ms);

/* Wakes one lane, due at once. */
enum err outbox_wake_one(struct mongo *m, const char *lane, const char *receiver,
                         int64_t now_ms) MUST_CHECK;

/* Makes a dead event pending, with no tries made. */
struct db_change outbox_revival(const char *id, int64_t now_ms);

/* Ends a claim: removes empty lanes unless an event came meanwhile, then makes the others due. Does
 * not wait for the disk: a loss only causes another try. */
struct outbox_release {
    struct db_batch drop, due; /* `due` holds those of `drop`, too */
    bool is_due;               /* out: some of the lanes are due at once */
};
void outbox_release_init(struct outbox_release *r);
/* The lane's only event is gone. */
void outbox_release_empty(struct outbox_release *r, const char *lane, const char *token,
                          int64_t wake, int64_t now_ms);
/* `at_once`: due_ms is over. */
void outbox_release_until(struct outbox_release *r, const char *lane, const char *token,
                          int64_t due_ms, bool at_once);
enum err outbox_release_run(struct mongo *m, struct outbox_release *r) MUST_CHECK;
void outbox_release_free(struct outbox_release *r); /* instead of running it */

#endif
