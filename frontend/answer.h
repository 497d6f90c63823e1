/* Answers on a connection: the headers that every one has, and bodies that count in the budget
 * until the client has taken them. */
#ifndef FRONTEND_ANSWER_H
#define FRONTEND_ANSWER_H

#include "common/envelope.h"
#include "frontend/server.h"

/* The X-Request-Id that the client sent; NULL: none, or none that may stand in a header or a log.
 */
const char *answer_client_id(struct evhttp_request *req);

/* Adds the headers of the reply and those of every answer. `id`: of the request, where the client
 * gave none. */
void answer_headers(struct server *s, struct evhttp_request *req, const struct reply *reply,
                    const char *id);

/* Copies a body into a buffer that the caller owns; large ones count in the tenant's budget. NULL:
 * the budget has no room for it. `t` may be NULL for the short texts of local.h. */
struct evbuffer *answer_keep(struct tenant *t, struct text body);

/* Sends an answer with the body of answer_keep(), which it frees. */
void answer_send(struct conn *c, struct evhttp_request *req, const struct reply *reply,
                 const char *id, struct evbuffer *body);

/* Counts an answer of a route. `began_us` (monotonic) 0: its time does not count. */
void answer_count(unsigned route, int status, int64_t began_us);

#endif
