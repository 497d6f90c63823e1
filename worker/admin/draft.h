/* A client to be made or changed, from options or from questions on the terminal. */
#ifndef WORKER_ADMIN_DRAFT_H
#define WORKER_ADMIN_DRAFT_H

#include "worker/admin/admin.h"

struct draft {
    char *id;     /* both owned */
    char *secret; /* NULL: no change */
};

/* The int functions return an exit status; the reason of any but ADMIN_OK is on stderr. */

/* Sets the id: the command's one argument, or asked for. Call draft_free in any case. */
int draft_id(struct draft *d, struct admin *a);

/* Sets the secret: generated, read from the input, or asked for if `needed`. */
int draft_secret(struct draft *d, struct admin *a, bool needed);

/* Asks on the terminal for role, numbers, queues and e-mail, unless an option gives one of them. */
void draft_ask(struct admin *a, const char *role);

/* The fields to set: `client` is the stored document, NULL for a new one. Without the lists of
 * queues. NULL: the secret cannot be hashed. */
json_t *draft_fields(const struct draft *d, const struct admin *a, const json_t *client);

void draft_free(struct draft *d);

#endif
