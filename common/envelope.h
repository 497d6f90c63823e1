/* Requests and replies as they travel over the bus: a versioned msgpack map each
 * (docs/protocol.md).
 *
 * Strings carry their length; request strings may hold any byte. The decoders check every length
 * and type, so that a message from a broken peer is refused, never trusted. */
#ifndef COMMON_ENVELOPE_H
#define COMMON_ENVELOPE_H

#include "common/api.h"
#include "common/err.h"
#include "common/text.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#define ENVELOPE_VERSION  1
#define REQUEST_ID_SIZE   37 /* UUID text in lower case, with its NUL */
#define QUERY_MAX         1024
#define REPLY_HEADERS_MAX 8
#define HEADER_WIRE_MAX   31 /* of headers.def */

enum header {
#define HEADER(id, wire, name) id,
#include "common/headers.def"
#undef HEADER
    HDR_COUNT_
};

/* Name of an HTTP header, static storage. */
const char *header_name(enum header h);

struct request {
    char id[REQUEST_ID_SIZE];
    unsigned op;         /* enum op */
    bool head;           /* a HEAD request: the handler must change nothing */
    int64_t received_us; /* wall clock of the frontend; unchanged when sent again */
    struct text params[ROUTE_PARAMS_MAX]; /* percent-decoded, valid UTF-8 */
    size_t params_len;
    struct {
        struct text name, value;
    } query[QUERY_MAX]; /* percent-decoded, valid UTF-8, in the client's order */
    size_t query_len;
    struct text headers[HDR_COUNT_]; /* s NULL: the client sent none */
    struct text peer;                /* address of the client */
    bool https;                      /* whether the client spoke TLS, to us or to a trusted proxy */
    struct text body;
};

struct reply {
    int status;
    struct {
        const char *name, *value; /* owned by the handler; NUL-terminated when packed */
    } headers[REPLY_HEADERS_MAX];
    size_t headers_len;
    struct text body;
    bool secret;  /* not on the bus: the body is overwritten once it is sent */
    bool claimed; /* the reply hands out a job; the request id is the claim's token */
};

/* The value of a reply's header, which the reply owns; NULL: it has none. */
const char *reply_value(const struct reply *r, const char *name);

/* Packs into `out` (initialised by the caller, who frees it). */
enum err request_pack(const struct request *r, msgpack_sbuffer *out) MUST_CHECK;
/* Packs all but the bytes of the body: the caller appends them to `out`. Does not read r->body. */
enum err request_pack_head(const struct request *r, size_t body_len,
                           msgpack_sbuffer *out) MUST_CHECK;
enum err reply_pack(const struct reply *r, msgpack_sbuffer *out) MUST_CHECK;

/* Decodes without copying: texts in *ret point into `data` or into `zone`, which the caller made
 * (msgpack_zone_init) and destroys after use. reply header strings are NUL-terminated copies in the
 * zone. ERR_INVALID for anything but a well-formed message of this version; *ret is then
 * undefined. */
enum err request_unpack(const char *data, size_t len, msgpack_zone *zone,
                        struct request *ret) MUST_CHECK;
enum err reply_unpack(const char *data, size_t len, msgpack_zone *zone,
                      struct reply *ret) MUST_CHECK;

#endif
