/* A client that is made or changed: what is given by options or asked for on the terminal. */
#ifndef WORKER_ADMIN_DRAFT_H
#define WORKER_ADMIN_DRAFT_H

#include "worker/admin/admin.h"

struct draft {
    char *id;     /* owned, as the next */
    char *secret; /* NULL: it stays as it is */
};

/* Each returns an exit status, with a line on stderr unless it is ADMIN_OK. */

/* The id: the one argument of the command, or asked for. draft_free in any case. */
int draft_id(struct draft *d, struct admin *a);

/* The secret: made, read from the input, or asked for where one is `needed`. */
int draft_secret(struct draft *d, struct admin *a, bool needed);

/* Asks on a terminal for what options say else, unless there are such options. */
void draft_ask(struct admin *a, const char *role);

/* The fields to set, by the options: `client` is the document as it is, NULL for a new one. NULL
 * when the secret cannot be hashed. The lists of queues are not among them. */
json_t *draft_fields(const struct draft *d, const struct admin *a, const json_t *client);

void draft_free(struct draft *d);

#endif
