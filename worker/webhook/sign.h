/* Signatures of events, as Standard Webhooks has them: HMAC-SHA256 of "ID.TIMESTAMP.BODY". */
#ifndef WORKER_WEBHOOK_SIGN_H
#define WORKER_WEBHOOK_SIGN_H

#include "common/buf.h"
#include "common/envelope.h"

#include <stdbool.h>

/* Whether every one of the secrets (separated by commas or white space) can be used: at least 16
 * bytes, after "whsec_" as base64. An empty text is fine: there is none. */
bool sign_secrets_valid(const char *secrets);

/* Appends "v1,BASE64" for each secret, separated by spaces; nothing where there is none. */
enum err sign_event(const char *secrets, const char *id, int64_t timestamp, struct text body,
                    struct buf *out) MUST_CHECK;

#endif
