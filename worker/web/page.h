/* A page: its handler makes a model, an object of JSON. The answer is the model where the client
 * prefers JSON, else the template of the row in common/api.def, filled with it (render.h).
 *
 * Each key of a model is always there: null where there is nothing. Errors are answered as
 * everywhere (reply_error(), reply_err()): page_end() makes pages of them. */
#ifndef WORKER_WEB_PAGE_H
#define WORKER_WEB_PAGE_H

#include "worker/request/call.h"

/* Answers with the page of a model, which has a `title`; takes the reference. NULL: 500. */
void page_reply(struct call *c, int status, json_t *model);

/* 303 to an address of this server; takes the reference. What was done there is said by its `done`
 * parameter (page.c). */
void page_see_other(struct call *c, json_t *url);

/* 404: "WHAT not found: NAME". */
void page_not_found(struct call *c, const char *what, struct text name);

/* Makes a page of an error, where the call is that of a page and its client takes HTML. Call it
 * once the call is answered. */
void page_end(struct call *c);

/* The address of the dashboard for a queue or agent, or null. */
json_t *page_dashboard(const struct call *c, const char *variable, struct text name);

/* Whether the caller may see more than the front page: with --auth login, who has signed in. */
bool page_is_open(const struct call *c);

#endif
