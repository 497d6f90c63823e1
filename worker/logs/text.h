/* Logs as JSON text: written piece by piece, in bounded memory. */
#ifndef WORKER_LOGS_TEXT_H
#define WORKER_LOGS_TEXT_H

#include "common/buf.h"
#include "common/envelope.h"

/* What a text takes as the inside of a JSON string, in bytes. */
size_t json_text_size(struct text t);

/* Appends a text as the inside of a JSON string. What is not UTF-8 becomes U+FFFD. ERR_TOO_LARGE:
 * nothing was added. */
enum err json_text_add(struct buf *b, struct text t) MUST_CHECK;

/* Appends the characters from the front of the text that fit into `max` bytes and the buffer.
 * Returns how many bytes of the text these are. */
size_t json_text_add_front(struct buf *b, struct text t, size_t max);

#endif
