/* Signatures of events by Standard Webhooks: HMAC-SHA256 of "ID.TIMESTAMP.BODY". */
#ifndef WORKER_WEBHOOK_SIGN_H
#define WORKER_WEBHOOK_SIGN_H

#include "common/buf.h"
#include "common/envelope.h"

#include <stdbool.h>

/* Whether every secret (separated by commas or white space) is valid: at least 16 bytes, given as
 * base64 after "whsec_". True for an empty text. */
bool sign_secrets_valid(const char *secrets);

/* Appends "v1,BASE64" for each secret, separated by spaces. */
enum err sign_event(const char *secrets, const char *id, int64_t timestamp, struct text body,
                    struct buf *out) MUST_CHECK;

#endif
