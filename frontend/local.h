/* Answers that the frontend makes itself, without a worker. */
#ifndef FRONTEND_LOCAL_H
#define FRONTEND_LOCAL_H

#include "common/envelope.h"
#include "frontend/request.h"

#include <stdbool.h>

#define LOCAL_TEXT_SIZE 768

/* An answer with its body. */
struct local_answer {
    struct reply reply;
    char text[LOCAL_TEXT_SIZE];
    char retry[16]; /* value of Retry-After */
    bool is_static; /* the body lasts as long as the process */
};

/* {"detail": {}, "message": TEXT}, with Retry-After for 503. */
void local_error(struct local_answer *a, int status, const char *text);

/* The answer of err.def for an error. */
void local_err(struct local_answer *a, enum err e);

/* The answer to a request with a refused head or body. `route` may be NULL. */
void local_verdict(struct local_answer *a, int verdict, const struct parsed *p);

/* The answer to any request that does not go to a worker. */
void local_reply(struct local_answer *a, const struct parsed *p);

/* Makes a page of an answer that says why there is none: `text` without its full stop, no HTML. */
void local_page(struct local_answer *a, const char *text);

/* 204: nothing. */
void local_none(struct local_answer *a);

#endif
