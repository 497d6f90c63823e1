/* HTTP/1.1 as far as a load client needs it: when is a reply complete, and what does it say. */
#ifndef TESTS_BENCH_HTTP_H
#define TESTS_BENCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>

enum http_state {
    HTTP_MORE, /* the reply is not complete yet */
    HTTP_DONE,
    HTTP_BAD /* not HTTP, or a form that servers under test do not use */
};

struct http_reply {
    int status;
    const char *body; /* inside the buffer; with chunk headers where it is chunked */
    size_t body_len;
    size_t len; /* of the whole reply */
    bool close; /* the server ends the connection after it */
};

/* Looks at what has been received; fills `ret` when it is HTTP_DONE. */
enum http_state http_parse(const char *buffer, size_t len, struct http_reply *ret);

#endif
