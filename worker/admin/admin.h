/* Declarations that the files of the admin tool share. */
#ifndef WORKER_ADMIN_ADMIN_H
#define WORKER_ADMIN_ADMIN_H

#include "worker/admin/args.h"
#include "worker/store/store.h"

struct admin {
    const struct config *cfg;
    const char *store_uri;
    struct store *store; /* NULL for commands that need none */
    struct args args;
};

/* Exit statuses of commands. */
enum { ADMIN_OK = 0, ADMIN_FAILED = 1, ADMIN_USAGE = 2 };

/* A command works on the store, prints its result and returns an exit status. */
typedef int command_fn(struct admin *a);
#define COMMAND(group, name, function, arguments, summary) command_fn function;
#include "worker/admin/commands.def"
#undef COMMAND

/* Prints one line on stderr; returns the status. */
int admin_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* admin_fail for an error of the store. */
int admin_fail_store(enum err e);

/* Adds an entry to the audit trail; `detail` (takes the reference) may be NULL. */
void admin_audit(struct admin *a, const char *action, const char *target, json_t *detail);

/* Adds an entry for n ended refresh tokens of a client; none if n is 0. */
void admin_ended(struct admin *a, const char *client_id, int64_t n, const char *reason);

/* Prints the value as JSON on stdout; takes the reference. */
int admin_print(json_t *value);

#endif
