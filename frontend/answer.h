/* Answers on a connection: the headers of every answer, and bodies that count in the budget until
 * the client has read them. */
#ifndef FRONTEND_ANSWER_H
#define FRONTEND_ANSWER_H

#include "common/envelope.h"
#include "frontend/server.h"

/* The client's X-Request-Id; NULL: none, or invalid in a header or log line. */
const char *answer_client_id(struct evhttp_request *req);

/* Whether errors of a request are to be read by people: it is for a page, and not in JSON. */
bool answer_is_page(struct evhttp_request *req, const struct route *route);

/* Adds the headers of the reply and those of every answer. `id`: the request's, used if the client
 * sent none. */
void answer_headers(struct server *s, struct evhttp_request *req, const struct reply *reply,
                    const char *id);

/* Copies a body into a buffer of the caller; a large one counts in the tenant's budget. NULL: no
 * room in the budget. `t` may be NULL for the short texts of local.h. */
struct evbuffer *answer_keep(struct tenant *t, struct text body);

/* The same for a body that lasts as long as the process: it is not copied. */
struct evbuffer *answer_static(struct text body);

/* Sends an answer with the body of answer_keep(), which it frees. */
void answer_send(struct conn *c, struct evhttp_request *req, const struct reply *reply,
                 const char *id, struct evbuffer *body);

struct answered {
    const struct route *route; /* NULL: none */
    unsigned method;           /* enum metric_method */
    int status;
    int64_t began_us; /* monotonic; 0: answered at once */
};

/* Counts an answer. */
void answer_count(const struct server *s, const struct answered *a);

#endif
