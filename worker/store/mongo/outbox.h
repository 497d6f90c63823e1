/* What the files of the outbox share.
 *
 * An event is a document of `webhook_outbox`, a lane that is not empty one of `webhook_lanes`. They
 * are written one after the other: the event first, then its lane, whose `wake` is raised, so that
 * whoever finds a lane empty removes it only if nothing came meanwhile. A process that dies between
 * the two leaves an event that was not acknowledged and that no lane knows of: outbox_purge() gives
 * it one. */
#ifndef WORKER_STORE_MONGO_OUTBOX_H
#define WORKER_STORE_MONGO_OUTBOX_H

#include "worker/store/mongo/mongo.h"

#define OUTBOX "webhook_outbox"
#define LANES  "webhook_lanes"

#define PENDING   "pending"
#define DELIVERED "delivered"
#define DEAD      "dead"

/* Appends to an array of statements what gives a lane a further event, or makes a lane for it:
 * claimed until `due_ms` under `token`, or, without one, due then. */
void outbox_wake_append(bson_t *updates, size_t index, const char *lane, const char *receiver,
                        const char *token, int64_t due_ms);

/* Runs an update command of such statements. ERR_CONFLICT: another process made a lane at the same
 * moment; run it again. *ret_reply tells of lanes that were made; the caller destroys it. */
enum err outbox_wake(struct mongo *m, const bson_t *updates, bson_t *ret_reply) MUST_CHECK;

/* The end of a claim: removes lanes that are empty unless something came meanwhile (`drop`, an
 * array of deletes), then makes others due (`release`, an array of updates, may hold the former
 * too). */
struct outbox_release {
    bson_t drop, release;
    size_t drop_len, release_len;
};
void outbox_release_init(struct outbox_release *r);
/* The lane's only event is gone. */
void outbox_release_empty(struct outbox_release *r, const char *lane, const char *token,
                          int64_t wake, int64_t now_ms);
void outbox_release_until(struct outbox_release *r, const char *lane, const char *token,
                          int64_t due_ms);
/* Frees, too. */
enum err outbox_release_run(struct mongo *m, struct outbox_release *r) MUST_CHECK;

/* Wakes one lane, due at once. */
enum err outbox_wake_one(struct mongo *m, const char *lane, const char *receiver,
                         int64_t now_ms) MUST_CHECK;

/* Makes an update command of statements; one that fails does not keep the others back. */
void outbox_command(bson_t *command, const char *collection, const bson_t *updates);

/* Runs a write whose loss leads to a further try, no more: it does not wait for the disk. */
enum err outbox_run(struct mongo *m, const char *verb, const char *collection, const char *name,
                    const bson_t *list, struct mongo_changed *ret) MUST_CHECK;

/* Fields of a document: a text as an owned string, "" when it is missing; its comparison; a number,
 * 0 when it is missing. */
char *outbox_text(const bson_t *doc, const char *field, size_t *ret_len);
bool outbox_text_is(const bson_t *doc, const char *field, const char *text);
int64_t outbox_int(const bson_t *doc, const char *field);

#endif
