/* Answers compressed by gzip (RFC 1952) for clients that take it. */
#ifndef WORKER_HTTP_COMPRESS_H
#define WORKER_HTTP_COMPRESS_H

#include "worker/request/call.h"

/* Bytes; smaller bodies fit one packet uncompressed. */
#define COMPRESS_MIN 1024

/* Compresses the body of an answer to GET, if it is text or JSON of COMPRESS_MIN bytes or more, its
 * client takes that, and it becomes smaller. Never files. Sets Vary where the answer depends on
 * what the client takes. */
void compress_reply(struct call *c);

#endif
