/* Entity tags (RFC 9110 8.8.3): a client that has an answer gets 304 instead of the same again.
 *
 * They are weak: an answer may come compressed or not under one tag. */
#ifndef WORKER_HTTP_ETAG_H
#define WORKER_HTTP_ETAG_H

#include "worker/request/call.h"

#define ETAG_SIZE 40

/* A tag in the making: SHA-256 over everything the answer depends on, truncated. */
struct etag;

struct etag *etag_new(void);
void etag_add(struct etag *t, const void *data, size_t len);
void etag_add_int(struct etag *t, int64_t n);
void etag_add_json(struct etag *t, const json_t *value);

/* Writes the tag and frees what was added up. */
void etag_end(struct etag *t, char out[ETAG_SIZE]);

/* Whether an If-None-Match header, s NULL: none, names the tag. */
bool etag_matches(struct text header, const char *tag);

/* Sets ETag. True: If-None-Match names it, the call is answered with 304. */
bool reply_unchanged(struct call *c, const char *tag);

/* Adds the tag of its own body to a call's answer of 200, and makes it 304 where the client has it.
 */
void reply_tag(struct call *c);

#endif
