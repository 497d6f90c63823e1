/* Collections of access control. Names and fields of the first three are those of the existing
 * server; the others are ours. */
#ifndef WORKER_STORE_MONGO_AUTH_H
#define WORKER_STORE_MONGO_AUTH_H

#include "worker/store/mongo/mongo.h"

#define CLIENTS        "client_permissions"
#define REFRESH_TOKENS "refresh_tokens"
#define LOGIN_FAILURES "login_failures" /* {_id: key, count, until} */
#define SIGNING_KEYS   "signing_keys"   /* {_id, key, created_at} */
#define AUDIT          "audit_log"      /* see struct audit_entry */

/* A document as a JSON object without its _id. */
json_t *mongo_document_json(const bson_t *doc);

/* Runs a findAndModify command that gives the document as it is afterwards; *ret_doc points into
 * *ret_reply, which the caller destroys. A second try where two made the document at once. */
enum err mongo_modify(struct mongo *m, const bson_t *command, bson_t *ret_reply,
                      bson_t *ret_doc) MUST_CHECK;

/* Inserts one document. ERR_CONFLICT: a unique field is there already. */
enum err mongo_insert(struct mongo *m, const char *collection, const bson_t *doc) MUST_CHECK;

/* Revokes all refresh tokens of a client; adds to *ended how many were not revoked before. */
enum err mongo_refresh_end(struct mongo *m, struct text client_id, int64_t *ended) MUST_CHECK;

/* Deletes the documents that match, the first one or all; *ret_n how many, may be NULL. */
enum err mongo_delete(struct mongo *m, const char *collection, const bson_t *filter, bool all,
                      int64_t *ret_n) MUST_CHECK;

#endif
