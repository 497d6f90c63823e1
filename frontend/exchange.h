/* One request on its way: from the HTTP library to the bus and back. It may outlive its client. */
#ifndef FRONTEND_EXCHANGE_H
#define FRONTEND_EXCHANGE_H

#include "frontend/conn.h"

/* Uploads and downloads have one as their first member. */
struct exchange {
    struct link_request link; /* first member */
    struct server *server;
    struct conn *conn;          /* NULL: the client is gone, or has its answer */
    struct evhttp_request *req; /* likewise */
    struct intake_item *item;   /* of the request; owned */
    const struct route *route;
    char id[REQUEST_ID_SIZE];
    int64_t began_us;                        /* 0: nobody counts */
    struct body body;                        /* until it is packed */
    struct budget_share held;                /* memory of the packed request, or of parts */
    void (*client_gone)(struct exchange *x); /* NULL: nothing is to be done */
    link_done_fn *done;                      /* of the request, while another one is under way */
    int64_t give_up;                         /* ms, monotonic: it waits no longer for memory */
    struct exchange *prev, *next;            /* those that wait for memory */
};

/* A new exchange of the kind that the route needs. */
struct exchange *exchange_new(const struct route *route);

/* evhttp_set_gencb: serves a request. */
void exchange_begin(struct evhttp_request *req, void *server);

/* The connection is about to be freed. */
void exchange_client_gone(struct exchange *x);

/* Adds the headers of the reply and those of every answer. */
void exchange_headers(struct exchange *x, const struct reply *reply);

/* The connection ends with the answer, which is sent next. */
void exchange_close_after(struct exchange *x);

/* The request, which is answered now: it belongs to the connection alone from here on. NULL: the
 * client is gone. */
struct evhttp_request *exchange_detach(struct exchange *x);

/* Answers, where the client is still there; logs an error. */
void exchange_answer(struct exchange *x, const struct reply *reply);
/* Hands out a job; where the agent has gone meanwhile, the job goes back. */
void exchange_answer_claim(struct exchange *x, const struct reply *reply);
void exchange_answer_err(struct exchange *x, enum err e);

/* Counts an answer that is sent by other means than these. */
void exchange_count(const struct exchange *x, int status);

/* Frees it and what it has of the connection. */
void exchange_free(struct exchange *x);

#endif
