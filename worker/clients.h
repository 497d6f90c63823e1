/* Clients: what of their documents is shown and what goes into tokens. */
#ifndef WORKER_CLIENTS_H
#define WORKER_CLIENTS_H

#include <jansson.h>

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

/* The field of the document that never leaves it. */
#define CLIENT_HASH "client_secret_hash"

#endif
