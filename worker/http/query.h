/* Query parameters of a request, and the parameters of lists. */
#ifndef WORKER_HTTP_QUERY_H
#define WORKER_HTTP_QUERY_H

#include "worker/request/call.h"

/* The values of a parameter in the order sent; `values` has room for QUERY_MAX. Returns how many.
 */
size_t query_values(const struct request *r, const char *name, struct text *values);

/* The first value of a parameter; false: it was not sent. */
bool query_first(const struct request *r, const char *name, struct text *ret);

/* The values of a parameter as an array of strings, new reference. */
json_t *query_array(const struct request *r, const char *name);

/* 422 {"detail": {"query": ERRORS}, "message": "Validation error"}; takes the reference. */
void query_invalid(struct call *c, json_t *errors);

/* Where a list begins and how long it is: `limit` and `cursor` of the request. `cursor` gets the
 * text that page->after points to. False: answered with 422. */
bool query_page(struct call *c, struct list_page *page, char cursor[LIST_CURSOR_SIZE]);

/* Adds the Link header (RFC 8288) that leads to the next page of a list. */
void query_link(struct call *c, const char *next);

/* What a store answers to a cursor that it did not make. */
void query_bad_cursor(struct call *c);

#endif
