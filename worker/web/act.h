/* Actions of web pages are those of the API: its handler checks, carries out and audits them. */
#ifndef WORKER_WEB_ACT_H
#define WORKER_WEB_ACT_H

#include "worker/request/call.h"

/* A request of the API that a form stands for. */
struct act {
    unsigned op;
    handler_fn *handler;
    json_t *body;           /* owned until act_run() takes it; NULL: none */
    struct text parameter;  /* of the path; s NULL: those of the page's path */
    struct text idempotent; /* the Idempotency-Key; s NULL: none */
};

/* Runs it as this call, whose row must have the roles of the API's row. True: it is done, and the
 * call holds the API's answer, to be replaced. False: the call holds the reason as JSON, of which
 * page_end() makes a page. */
bool act_run(struct call *c, const struct act *a);

/* {NAME: VALUE} of a field of the form, new reference; an empty object where it was not sent or is
 * empty. */
json_t *act_field(const struct call *c, const char *name);

#endif
