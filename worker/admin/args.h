/* Arguments of the admin tool's commands. */
#ifndef WORKER_ADMIN_ARGS_H
#define WORKER_ADMIN_ARGS_H

#include <jansson.h>
#include <stdbool.h>

enum secret_source { SECRET_NONE, SECRET_STDIN, SECRET_GENERATE };

struct args {
    char **words; /* arguments that are not options */
    int words_len;
    bool json, yes;
    const char *client; /* --client */
    const char *role, *email;
    enum secret_source secret;
    json_t *max_priority, *max_reservation; /* objects by queue, null removes an entry; NULL: not
                                               given */
    json_t *allow, *disallow;               /* arrays of queues; NULL: none given */
    json_t *agents, *not_agents;            /* arrays of agent names; NULL: none given */
};

/* Reads the arguments; false: the reason is on stderr. Call args_free in any case. */
bool args_read(struct args *a, int argc, char **argv);
void args_free(struct args *a);

/* Adds QUEUE=NUMBER to *object, made if NULL; "QUEUE=" adds null. False: another form. */
bool args_add_number(json_t **object, const char *text);

/* Prints the help of the options on stdout. */
void args_print_help(void);

#endif
