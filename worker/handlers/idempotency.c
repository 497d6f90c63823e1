#include "worker/handlers/idempotency.h"

#include "common/buf.h"
#include "common/mem.h"
#include "worker/encoding/sha256.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool idempotency_is_fine(struct call *c)
{
    struct text key = c->request->headers[HDR_IDEMPOTENCY_KEY];

    if (!key.s || (key.len > 0 && key.len <= SUBMIT_KEY_MAX))
        return true;
    reply_error(c, 400, "Idempotency-Key must have 1 to %d characters", SUBMIT_KEY_MAX);
    return false;
}

/* Digest of two texts. 0xff, which no UTF-8 text has, separates them. */
static void digest_of(struct text a, struct text b, char out[SHA256_TEXT_SIZE])
{
    struct buf both = BUF_INIT(a.len + b.len + 1);

    if (buf_add(&both, a.len ? a.s : "", a.len) || buf_add(&both, "\xff", 1) ||
        buf_add(&both, b.len ? b.s : "", b.len))
        abort(); /* cannot be: the buffer's limit is their length */
    sha256_text((struct text){both.data, both.len}, out);
    buf_free(&both);
}

bool idempotency_load(struct submit_key *ret, const struct call *c, const json_t *data,
                      const char *given)
{
    struct text key = c->request->headers[HDR_IDEMPOTENCY_KEY];

    if (!key.s)
        return false;
    char *text = json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS);
    mem_check(text);
    digest_of(caller_id(c), key, ret->key);
    digest_of((struct text){given, given ? strlen(given) : 0}, (struct text){text, strlen(text)},
              ret->body);
    free(text);
    return true;
}

void idempotency_refuse(struct call *c)
{
    reply_error(c, 422, "Idempotency-Key was used with another body");
}
