/* SHA-256 as text. */
#ifndef WORKER_ENCODING_SHA256_H
#define WORKER_ENCODING_SHA256_H

#include "common/envelope.h"

/* SHA-256 of some bytes as 64 hex digits and a NUL. */
#define SHA256_TEXT_SIZE 65
void sha256_text(struct text data, char out[SHA256_TEXT_SIZE]);

#endif
