/* The query of a list with filters: limit, cursor, since, until, fields, and filters of its own. */
#ifndef WORKER_HTTP_LIST_QUERY_H
#define WORKER_HTTP_LIST_QUERY_H

#include "worker/http/listing.h"

#define LIST_QUERY_LIMIT 50 /* members of a page, where the request does not say */
#define LIST_QUERY_MAX   1000

/* Times that every date lies between. */
#define LIST_TIME_MIN (-62135596800000) /* ms: year 1 */
#define LIST_TIME_MAX 253402300800000   /* ms: year 10000 */

/* A filter of a list; the array of a list's ends with a name of NULL. */
struct list_filter {
    const char *name;
    bool many; /* may be repeated */
};

struct list_query {
    struct call *c;
    int64_t limit, since_ms, until_ms;
    struct text after; /* the place in the cursor; s NULL: from the start */
    struct buf place;  /* owned: what `after` points into, with a NUL behind it */
    json_t *fields;    /* owned: the names are its keys; NULL: all fields */
    json_t *errors;    /* owned: of the query so far, {NAME: [TEXT]} */
};

/* Reads the query. A parameter that the list does not have is an error: a misspelt filter would
 * list everything. Ends with list_query_check(); list_query_free() in any case. */
void list_query_load(struct list_query *q, struct call *c, const struct list_filter *filters);

/* A filter's value; s NULL: it was not sent. */
struct text list_query_text(const struct list_query *q, const char *name);

/* Notes an error of a parameter. */
void list_query_error(struct list_query *q, const char *name, const char *text);

/* False: there were errors, answered with 422. */
bool list_query_check(struct list_query *q);

void list_query_free(struct list_query *q);

/* Leaves only the wanted fields in a member. */
void list_query_pick(const struct list_query *q, json_t *member);

/* Appends the cursor behind `place`, good for this list and these filters only. */
enum err list_query_cursor(const struct list_query *q, struct text place,
                           struct buf *out) MUST_CHECK;

/* Answers with the list, whose next page begins behind `place`, s NULL: this was the last. The
 * cursor is good for this list and these filters only. */
void list_query_reply(struct list_query *q, struct listing *l, struct text place);

#endif
