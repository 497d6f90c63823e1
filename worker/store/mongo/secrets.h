/* What the files of secrets share. */
#ifndef WORKER_STORE_MONGO_SECRETS_H
#define WORKER_STORE_MONGO_SECRETS_H

#include "worker/store/mongo/db.h"

#define SECRETS_COLLECTION_SIZE 256

/* The collection of a client. ERR_INVALID: its name would be too long, or hold a NUL. */
enum err secrets_collection(struct mongo *m, struct text client,
                            char out[SECRETS_COLLECTION_SIZE]) MUST_CHECK;

/* The documents of the client in its collection: those of another one, whose id the reference
 * spells in the same way, stand there too. */
bson_t *secrets_of_client(struct text client);

/* Whether the value can be decrypted. */
bool secret_is_readable(struct mongo *m, const bson_t *doc);

/* Removes the secrets of a job, whose data these are: its new attempt does not get them again. */
enum err secrets_drop_claimed(struct mongo *m, struct text job_id, const json_t *data) MUST_CHECK;

/* Removes all secrets of a client. */
enum err secrets_drop_client(struct mongo *m, struct text client) MUST_CHECK;

#endif
