/* Finds the file in a multipart/form-data body (RFC 7578, RFC 2046), block by block.
 *
 * The caller reads the body from `offset` on into a block and passes it; the scan moves `offset` to
 * where it wants to go on. So it keeps no data of its own and may stop anywhere. */
#ifndef FRONTEND_MULTIPART_H
#define FRONTEND_MULTIPART_H

#include "common/envelope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MULTIPART_BOUNDARY_MAX 200         /* bytes; RFC 2046 allows 70 */
#define MULTIPART_BLOCK_MIN    (64 * 1024) /* bytes of a block, unless the body ends before */
#define MULTIPART_HEADERS_MAX  (16 * 1024) /* bytes of the header lines of a part */
#define MULTIPART_FIELD_MAX    500000      /* bytes of a part that is no file */
#define MULTIPART_PARTS_MAX    1000

enum multipart_state {
    MULTIPART_PREAMBLE, /* before the first boundary */
    MULTIPART_HEADERS,  /* at the header lines of a part */
    MULTIPART_DATA,     /* in the content of a part */
    MULTIPART_DONE,     /* the last boundary was found */
    MULTIPART_BROKEN,   /* not a multipart body */
    MULTIPART_LARGE     /* more or larger parts than may be */
};

struct multipart {
    enum multipart_state state;
    uint64_t offset;                            /* in the body: start of the next block */
    char delimiter[MULTIPART_BOUNDARY_MAX + 2]; /* "--BOUNDARY" without a NUL */
    size_t delimiter_len;
    unsigned parts;
    bool is_file, wanted; /* the part that is scanned: has a filename; is the one */
    uint64_t data;        /* where its content begins */
    bool found;           /* out: the first file part of the wanted name */
    uint64_t start, len;  /* out: its content */
};

/* Starts a scan; false: the content type is not multipart/form-data with a boundary. */
bool multipart_init(struct multipart *m, struct text content_type) MUST_CHECK;

/* Scans a block that begins at m->offset; `last`: the body ends with it. True: needs a further
 * block; false: state is one of the last three. */
bool multipart_scan(struct multipart *m, const char *block, size_t len, bool last);

/* The unquoted value of a parameter of a header's value, cut at `size` with the NUL. False: absent.
 * Names match in any case; NAME* (RFC 5987) counts as NAME, still encoded. */
bool multipart_param(struct text value, const char *name, char *out, size_t size);

#endif
