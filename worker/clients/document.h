/* Clients: what of their documents is shown and what goes into tokens. */
#ifndef WORKER_CLIENTS_DOCUMENT_H
#define WORKER_CLIENTS_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The client that the admin tool makes, which the API may not touch. */
#define SYSTEM_ADMIN "testflinger-admin"

/* The permissions for a token, new reference: client_id, role, max_priority, allowed_queues,
 * max_reservation_time, with defaults for those that the document lacks, email and agents when
 * there are some; and with `all` everything else but the secret's hash. */
json_t *client_permissions(const json_t *client, int all);

/* What the API shows of a client, new reference. */
json_t *client_shown(const json_t *client);

/* A JSON object for the fields that a new client has unless others are given. */
json_t *client_defaults(void);

/* Fields of the document that no answer shows. CLIENT_SELF differs for each client ever made, also
 * under the same id. */
#define CLIENT_HASH "client_secret_hash"
#define CLIENT_SELF "_id"

/* What a token is bound to: the digest of the client's identity, secret and role. A token with
 * another binding was issued to an earlier client of the name, or before a change of its secret or
 * role, by whichever program that was. */
#define BINDING_SIZE 33
void client_binding(const json_t *client, char out[BINDING_SIZE]);

/* Whether a token may be one of this client: by its binding, or ("": an older release issued it,
 * without one) because it was not issued before the client was made. */
bool client_issued(const json_t *client, const char *binding, int64_t issued_ms);

#endif
