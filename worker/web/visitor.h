/* Who looks at a page, and where signing in brings them back to. */
#ifndef WORKER_WEB_VISITOR_H
#define WORKER_WEB_VISITOR_H

#include "worker/request/call.h"

/* {name, role} of who is signed in; null: nobody. A new reference. */
json_t *visitor_user(const struct call *c);

/* The address of the page for signing in, which leads back to this page, or to the one whose form
 * this is. A new reference. */
json_t *visitor_sign_in(const struct call *c);

/* Whether the visitor's role may use a row of the API or of the pages. */
bool visitor_may(const struct call *c, unsigned op);

#endif
