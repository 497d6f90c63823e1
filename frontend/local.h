/* Answers that the frontend makes itself. */
#ifndef FRONTEND_LOCAL_H
#define FRONTEND_LOCAL_H

#include "common/envelope.h"
#include "frontend/request.h"

#define LOCAL_TEXT_SIZE 512

/* An answer with its body. */
struct local_answer {
    struct reply reply;
    char text[LOCAL_TEXT_SIZE];
    char retry[16]; /* value of Retry-After */
};

/* {"detail": {}, "message": TEXT} with Retry-After where the status is 503. */
void local_error(struct local_answer *a, int status, const char *text);

/* What err.def has for an error. */
void local_err(struct local_answer *a, enum err e);

/* The answer to a request whose head or body was refused. `route` may be NULL. */
void local_verdict(struct local_answer *a, int verdict, const struct parsed *p);

/* The answer to anything but a routed request of another service. */
void local_reply(struct local_answer *a, const struct parsed *p);

/* 204: nothing. */
void local_none(struct local_answer *a);

#endif
