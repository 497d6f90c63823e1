/* One request in a worker: what a handler gets, and how it answers. */
#ifndef WORKER_REQUEST_CALL_H
#define WORKER_REQUEST_CALL_H

#include "common/config.h"
#include "common/envelope.h"
#include "worker/clients/document.h"
#include "worker/request/token_fault.h"
#include "worker/store/event_post.h"
#include "worker/store/store.h"

#include <jansson.h>

#define CALLER_FORM_SIZE 65

/* Who calls, as the gate found out (authorize.h). */
struct caller {
    bool has_token;                /* a valid one */
    enum token_fault fault;        /* of the one that came, when it is not valid */
    unsigned role;                 /* 0: none */
    json_t *permissions;           /* of the token; owned; NULL: none */
    int64_t issued_s;              /* when the token was; seconds since 1970 */
    char binding[BINDING_SIZE];    /* of the token; "": none (clients.h) */
    char session[REFRESH_ID_SIZE]; /* of a browser: its id; "": none (session.h) */
    char form[CALLER_FORM_SIZE];   /* what the session's forms carry; "": none */
};

/* Whether an answered call tells that the job it is about has its agent (lease.h). */
enum touch {
    TOUCH_NONE,
    TOUCH_ASKED, /* when it was the agent that asked */
    TOUCH_AGENT, /* what only agents do */
    TOUCH_STATE  /* and the job may have come to a state with a lease of its own */
};

/* What a call submitted that is to be counted. */
enum submitted { SUBMITTED_NOTHING, SUBMITTED_JOB, SUBMITTED_RESERVATION };

/* The declarative part is filled by the dispatcher; the reply by exactly one reply_* call. */
struct call {
    const struct route *route;
    const struct request *request;
    const struct config *cfg;
    struct store *store;
    bool ask;     /* only the head has come: says whether the body is wanted (h_ask.c) */
    bool repeat;  /* the request may have been carried out before */
    bool crowded; /* an event is kept for later: there is no room to try it at once */
    struct caller caller;
    struct reply reply; /* status 0: not answered yet */
    struct form *form;  /* owned: of an ACTION row (form.h); NULL: none, or an empty one */
    char *body;         /* owned reply body */
    char *header_values[REPLY_HEADERS_MAX];
    bool secret;      /* the answer holds secrets: it is overwritten before it is freed */
    uint32_t took_us; /* in its handler; 0: less, or together with others (ROUTE_GATHER) */
    enum touch touch; /* the job of the first parameter */
    char **wakes;     /* owned: queues in which this call lets jobs wait, each once */
    size_t wakes_len;
    bool wakes_any;           /* any agent may have the job: one held poll is enough */
    enum submitted submitted; /* counted once the group is stored, as these: */
    unsigned queue;           /* of the submitted job: metric_queue() */
    uint64_t claims_confirmed, claims_returned; /* counted once the group is stored */
    /* owned: an event that is to be tried. Unless there is a reply it is the answer; NULL: none */
    struct event_post *later;
};

/* Handlers of rows without ROUTE_GATHER get n = 1. The file of a handler declares it:
 * `handler_fn h_job_add;`, the tables of handlers do so by api.def. */
typedef void handler_fn(struct call *calls[], size_t n);

/* The request as the store knows it. */
struct asked call_asked(const struct call *c);

/* End of the lease that an agent's call gives its job now, ms; 0: leases are off. */
int64_t lease_end_ms(const struct call *c);

/* The client id of the caller's token, s NULL without one. */
struct text caller_id(const struct call *c);

/* Text answer; `len` bytes are copied. */
void reply_text(struct call *c, int status, const char *text);
void reply_bytes(struct call *c, int status, const char *content_type, const char *data,
                 size_t len);
/* The same; takes the buffer's memory and leaves it empty. */
void reply_buf(struct call *c, int status, const char *content_type, struct buf *body);
/* JSON answer; takes the reference. */
void reply_json(struct call *c, int status, json_t *value);
/* Empty 204. */
void reply_none(struct call *c);
/* {"detail": {}, "message": TEXT} */
void reply_error(struct call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* 422 {"detail": {"json": ERRORS}, "message": "Validation error"}; takes the reference. */
void reply_invalid(struct call *c, json_t *errors);
/* The answer that err.def has for an error; Retry-After with 503. */
void reply_err(struct call *c, enum err e);
/* Adds a header, or replaces its value; name has static storage, value is copied. */
void reply_header(struct call *c, const char *name, const char *value);

/* Tells those who wait for a job of this queue that there is one, once the call is answered. May be
 * called for several queues. */
void call_wakes(struct call *c, struct text queue);

/* Frees what the call owns. */
void call_done(struct call *c);

#endif
