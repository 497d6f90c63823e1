/* Sessions of browsers: a random text in a cookie. It is stored as a digest among the refresh
 * tokens of its client, is none of them, and ends with them; role and permissions are those that
 * the client has now. The API looks at no cookie. */
#ifndef WORKER_AUTH_SESSION_H
#define WORKER_AUTH_SESSION_H

#include "worker/request/call.h"

/* Seconds that a session lasts without a page, and of its end that may pass unrenewed. */
#define SESSION_LIFETIME_S (12 * 3600)
#define SESSION_RENEW_S    600

/* The field of a form that shows that the page is of the session: c->caller.form. */
#define SESSION_FIELD "csrf"

/* Fills c->caller from the cookie; leaves it as it is where there is no valid session. */
enum err session_look(struct call *c) MUST_CHECK;

/* Whether a form's field is that of the session, in time that does not depend on it. */
bool session_form_fits(const struct call *c, struct text sent);

/* Makes a session of the client and sets its cookie. */
enum err session_begin(struct call *c, const json_t *client) MUST_CHECK;

/* Ends the caller's session, if there is one, and removes the cookie. */
enum err session_end(struct call *c) MUST_CHECK;

#endif
