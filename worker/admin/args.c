#include "worker/admin/args.h"

#include "worker/clients/roles.h"
#include "worker/validation/fieldtypes.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The options. OPTION(id, "name", argument or NULL, help) */
#define OPTIONS                                                                                    \
    OPTION(OPT_ROLE, "role", "ROLE", "admin, manager, contributor or agent")                       \
    OPTION(OPT_PRIORITY, "max-priority", "QUEUE=N",                                                \
           "highest priority on a queue, * for all; without N none; may be repeated")              \
    OPTION(OPT_RESERVATION, "max-reservation", "QUEUE=S",                                          \
           "longest reservation on a queue in seconds, as --max-priority")                         \
    OPTION(OPT_ALLOW, "allow", "QUEUE", "restrict a queue and allow the client on it")             \
    OPTION(OPT_DISALLOW, "disallow", "QUEUE",                                                      \
           "take the client off a queue; without clients, a queue is no longer restricted")        \
    OPTION(OPT_EMAIL, "email", "ADDRESS", "e-mail address; empty: none")                           \
    OPTION(OPT_AGENT, "agent", "NAME", "an agent that the client may act for (--agent-identity)")  \
    OPTION(OPT_NOT_AGENT, "not-agent", "NAME", "an agent that it may act for no longer")           \
    OPTION(OPT_STDIN, "secret-stdin", NULL, "read the secret from the first line of the input")    \
    OPTION(OPT_GENERATE, "generate", NULL, "make a random secret and show it once")                \
    OPTION(OPT_CLIENT, "client", "ID", "show or revoke the tokens of this client")                 \
    OPTION(OPT_YES, "yes", NULL, "do not ask")                                                     \
    OPTION(OPT_JSON, "json", NULL, "show results as JSON")

enum option_id {
    OPT_FIRST = 1000,
#define OPTION(id, name, argument, help) id,
    OPTIONS
#undef OPTION
};

static bool say(const char *what, const char *value)
{
    fprintf(stderr, "testflinger-admin: %s: '%s'; see --help\n", what, value);
    return false;
}

bool args_add_number(json_t **object, const char *text)
{
    const char *equals = strrchr(text, '=');
    int64_t n = 0;

    if (!equals || equals == text)
        return false;
    bool removed = equals[1] == '\0';
    if (!removed && integer_from_text(equals + 1, strlen(equals + 1), &n) != INTEGER_OK)
        return false;
    if (!*object)
        *object = json_object();
    return json_object_setn_new(*object, text, (size_t)(equals - text),
                                removed ? json_null() : json_integer(n)) == 0;
}

static bool add_name(json_t **array, const char *name)
{
    json_t *text = json_string(name);

    if (!text || !*name) {
        json_decref(text);
        return say("no valid name", name);
    }
    if (!*array)
        *array = json_array();
    return json_array_append_new(*array, text) == 0;
}

static bool set_role(struct args *a, const char *value)
{
    for (size_t i = 0; role_names[i]; i++)
        if (strcmp(role_names[i], value) == 0) {
            a->role = role_names[i];
            return true;
        }
    return say("no role", value);
}

static bool set(struct args *a, int option, const char *value)
{
    switch (option) {
    case OPT_ROLE:
        return set_role(a, value);
    case OPT_PRIORITY:
        return args_add_number(&a->max_priority, value) || say("not QUEUE=NUMBER", value);
    case OPT_RESERVATION:
        return args_add_number(&a->max_reservation, value) || say("not QUEUE=NUMBER", value);
    case OPT_ALLOW:
        return add_name(&a->allow, value);
    case OPT_DISALLOW:
        return add_name(&a->disallow, value);
    case OPT_AGENT:
        return add_name(&a->agents, value);
    case OPT_NOT_AGENT:
        return add_name(&a->not_agents, value);
    case OPT_EMAIL:
        a->email = value;
        return !*value || is_email(value, strlen(value)) || say("no e-mail address", value);
    case OPT_STDIN:
        a->secret = SECRET_STDIN;
        return true;
    case OPT_GENERATE:
        a->secret = SECRET_GENERATE;
        return true;
    case OPT_CLIENT:
        a->client = value;
        return true;
    case OPT_YES:
        a->yes = true;
        return true;
    case OPT_JSON:
        a->json = true;
        return true;
    default: /* getopt_long has printed the reason */
        return false;
    }
}

static const struct option options[] = {
#define OPTION(id, name, argument, help)                                                           \
    {name, (argument) ? required_argument : no_argument, NULL, id},
    OPTIONS
#undef OPTION
    {0}};

/* getopt_long() accepts abbreviations: "--secret x" would mean --secret-stdin and show a secret in
 * the process list. */
static bool is_whole(const char *word)
{
    size_t len = strcspn(word + 2, "=");

    for (const struct option *o = options; o->name; o++)
        if (strlen(o->name) == len && memcmp(o->name, word + 2, len) == 0)
            return true;
    return false;
}

bool args_read(struct args *a, int argc, char **argv)
{
    int option;
    bool ok = true;

    *a = (struct args){0};
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] && !is_whole(argv[i])) {
            fprintf(stderr, "testflinger-admin: there is no option %.*s; see --help\n",
                    (int)strcspn(argv[i], "="), argv[i]);
            return false;
        }
    optind = 0; /* restart: getopt also read the settings */
    while (ok && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        ok = set(a, option, optarg);
    a->words = argv + optind;
    a->words_len = argc - optind;
    return ok;
}

void args_free(struct args *a)
{
    json_decref(a->max_priority);
    json_decref(a->max_reservation);
    json_decref(a->allow);
    json_decref(a->disallow);
    json_decref(a->agents);
    json_decref(a->not_agents);
}

static void print_option(const char *name, const char *argument, const char *help)
{
    char text[64];

    snprintf(text, sizeof text, "--%s %s", name, argument ? argument : "");
    printf("  %-26s %s\n", text, help);
}

void args_print_help(void)
{
#define OPTION(id, name, argument, help) print_option(name, argument, help);
    OPTIONS
#undef OPTION
}
