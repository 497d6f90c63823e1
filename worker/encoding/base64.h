/* Base64 of RFC 4648, in both alphabets. */
#ifndef WORKER_ENCODING_BASE64_H
#define WORKER_ENCODING_BASE64_H

#include "common/buf.h"
#include "common/envelope.h"

#include <stdbool.h>

enum base64_kind {
    BASE64_STANDARD, /* + and /, with padding */
    BASE64_URL       /* - and _, without padding */
};

/* Appends what the text stands for to `out`. Padding may be left out. False: it is no base64, or
 * more than the buffer's maximum; `out` may then hold a part of it. */
bool base64_decode(struct text text, enum base64_kind kind, struct buf *out);

/* Appends the text for some bytes. */
enum err base64_encode(const void *data, size_t len, enum base64_kind kind,
                       struct buf *out) MUST_CHECK;

#endif
