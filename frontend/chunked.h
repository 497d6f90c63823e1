/* The framing of a chunked body (RFC 9112 7.1): sizes, line ends and trailers. The caller takes the
 * data. */
#ifndef FRONTEND_CHUNKED_H
#define FRONTEND_CHUNKED_H

#include <event2/buffer.h>
#include <stdint.h>

#define CHUNK_LINE_MAX    256   /* bytes of a chunk's size with its extensions */
#define CHUNK_TRAILER_MAX 16384 /* bytes of all trailer lines */
#define CHUNK_EXCESS_MAX  16384 /* bytes of chunk lines beyond what their data excuses */

enum chunked_state {
    CHUNKED_SIZE,   /* next comes the line with a chunk's size */
    CHUNKED_END,    /* next come a chunk's data and the line end behind it */
    CHUNKED_TRAILER /* the last chunk was read: trailer lines up to the empty line */
};

struct chunked {
    enum chunked_state state;
    uint64_t left;  /* bytes of the chunk's data that the caller takes from the buffer first */
    size_t scanned; /* of the line at the front */
    size_t trailer; /* bytes of trailers */
    size_t excess;  /* see CHUNK_EXCESS_MAX */
};

enum chunked_result {
    CHUNKED_MORE,  /* the line's end has not come */
    CHUNKED_LINE,  /* a line was read */
    CHUNKED_BEGIN, /* a chunk begins: `left` is set */
    CHUNKED_DONE,  /* the body is through */
    CHUNKED_BAD    /* malformed: the end of the body is not known */
};

/* Reads the next line of the framing off `raw`; `left` is 0 before. {0} is the beginning. */
enum chunked_result chunked_next(struct chunked *c, struct evbuffer *raw);

#endif
