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

/* Revokes all refresh tokens of a client; adds the number of newly revoked ones to *ended. */
enum err mongo_refresh_end(struct mongo *m, struct text client_id, int64_t *ended) MUST_CHECK;

#endif
