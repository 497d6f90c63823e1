/* The dead letters on the command line, straight in the store. */
#ifndef WORKER_WEBHOOK_DEAD_LETTERS_CLI_H
#define WORKER_WEBHOOK_DEAD_LETTERS_CLI_H

#include "common/config.h"

#include <stdbool.h>

struct dead_letters_cli {
    bool list;          /* --list-dead */
    const char *resend; /* --resend ID, or "all" */
};

/* Removes these options from the arguments and lowers *argc. False: they are wrong; the reason is
 * on stderr. */
bool dead_letters_cli_args(struct dead_letters_cli *l, int *argc, char **argv);

/* Does what the options say: prints the letters, one JSON object a line, or revives one or all.
 * Returns an exit status. */
int dead_letters_cli_run(const struct dead_letters_cli *l, const struct config *cfg,
                         const char *store_uri);

#endif
