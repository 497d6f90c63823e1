/* Making tokens for a client: access tokens, refresh tokens, and the end of the latter. */
#ifndef WORKER_AUTH_TOKEN_ISSUE_H
#define WORKER_AUTH_TOKEN_ISSUE_H

#include "worker/request/call.h"

#define REFRESH_TEXT_SIZE 65

/* A token for these permissions of the client, which the caller frees; NULL: answered. */
char *token_issue_token(struct call *c, const json_t *client, const json_t *permissions);

/* The answer with it, new reference. */
json_t *token_issue_json(const struct call *c, const char *token);

/* Writes the event of a token that was issued; `how`: "created" or "refreshed". */
void token_issue_told(const struct call *c, const json_t *permissions, const char *how);

/* A new refresh token that is not stored yet. `token` points to `digest` and `binding` of the same
 * struct (do not copy it) and to the client's id. Clients get `text`, the store only the digest. */
struct refresh_draft {
    struct refresh_new token;
    char text[REFRESH_TEXT_SIZE];
    char digest[REFRESH_TEXT_SIZE];
    char binding[REFRESH_TEXT_SIZE];
};
enum err token_issue_draft(const struct call *c, const json_t *client,
                           struct refresh_draft *ret) MUST_CHECK;

/* Makes and stores a refresh token of the client. */
enum err token_issue_refresh(struct call *c, const json_t *client,
                             char out[REFRESH_TEXT_SIZE]) MUST_CHECK;

/* Writes event and audit entry about refresh tokens of a client that have ended, if there were
 * some. `reason`: "secret changed", say. */
void token_issue_ended(const struct call *c, struct text client_id, int64_t n, const char *reason);

#endif
