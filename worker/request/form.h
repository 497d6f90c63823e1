/* A form that a browser sends: application/x-www-form-urlencoded. */
#ifndef WORKER_REQUEST_FORM_H
#define WORKER_REQUEST_FORM_H

#include "worker/request/call.h"

/* Fields of a form; one with more is refused. */
#define FORM_FIELDS_MAX 64

/* Parses the body of the request into c->form. The texts are valid UTF-8 without a NUL, their line
 * ends are \n as they were typed (browsers send \r\n). False: answered, 415 for another type of
 * body, 400 for a broken form or a field that comes twice. An empty body is an empty form. */
bool form_load(struct call *c);

/* The value of a field; s NULL: it was not sent. Lasts as long as the call. */
struct text form_text(const struct call *c, const char *name);

/* Whether a field was sent and is not empty: a ticked box, the button that was pressed. */
bool form_has(const struct call *c, const char *name);

#endif
