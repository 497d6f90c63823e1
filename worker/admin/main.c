/* testflinger-admin: clients, refresh tokens and keys of secrets, straight in the store. */
#include "common/clock.h"
#include "common/config.h"
#include "common/random.h"
#include "worker/admin/admin.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "testflinger-admin"

static const struct command {
    const char *group, *name;
    command_fn *function;
    const char *arguments, *summary;
} commands[] = {
#define COMMAND(group, name, function, arguments, summary)                                         \
    {group, name, function, arguments, summary},
#include "worker/admin/commands.def"
#undef COMMAND
};

enum { COMMANDS_LEN = sizeof commands / sizeof *commands };

int admin_fail(int status, const char *fmt, ...)
{
    va_list ap;

    fputs(PROGRAM ": ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return status;
}

int admin_fail_store(enum err e)
{
    return admin_fail(ADMIN_FAILED, "the store: %s", err_text(e));
}

int admin_print(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
    json_decref(value);
    return ADMIN_OK;
}

void admin_audit(struct admin *a, const char *action, const char *target, json_t *detail)
{
    const struct passwd *user = getpwuid(geteuid());
    char name[128], id[UUID_TEXT_SIZE];
    int64_t now_us = clock_wall_us();
    struct audit_entry entry = {.at_ms = now_us / 1000,
                                .role = "",
                                .action = action,
                                .target = {target, strlen(target)},
                                .detail = detail};

    snprintf(name, sizeof name, PROGRAM ":%s", user ? user->pw_name : "?");
    entry.actor = (struct text){name, strlen(name)};
    random_uuid_text(id);
    snprintf(entry.id, sizeof entry.id, "%016llx-%s", (unsigned long long)now_us, id);
    enum err e = store_audit_add(a->store, &entry);
    if (e)
        admin_fail(ADMIN_FAILED,
                   "done, but cannot add it to the audit trail: %s; note it elsewhere",
                   err_text(e));
    json_decref(detail);
}

void admin_ended(struct admin *a, const char *client_id, int64_t n, const char *reason)
{
    if (n)
        admin_audit(a, "token.revoke", client_id,
                    json_pack("{s:I, s:s}", "tokens", (json_int_t)n, "reason", reason));
}

static void print_help(void)
{
    puts("Usage: " PROGRAM " [OPTIONS] COMMAND [ARGUMENTS]\n\n"
         "Clients, refresh tokens and keys of secrets of the server, straight in its store.\n\n"
         "Commands:");
    for (size_t i = 0; i < COMMANDS_LEN; i++)
        printf("  %s %s %s\n      %s\n", commands[i].group, commands[i].name, commands[i].arguments,
               commands[i].summary);
    puts("\nOptions of commands:");
    args_print_help();
    puts("\nA secret is asked for, made, or read from the input; never give one as an argument.\n"
         "Exit status: 0 done, 1 not done, 2 wrong arguments or settings.\n\n"
         "OPTIONS before the command:");
    fflush(stdout);
}

/* Number of arguments before the command: settings with their values. */
static int settings_len(int argc, char **argv)
{
    int i = 1;

    while (i < argc && strncmp(argv[i], "--", 2) == 0) {
        bool alone = strchr(argv[i], '=') || strcmp(argv[i], "--help") == 0 ||
                     strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "--print-config") == 0;
        i += alone ? 1 : 2;
    }
    return i < argc ? i : argc;
}

static const struct command *find(const char *group, const char *name)
{
    for (size_t i = 0; i < COMMANDS_LEN; i++)
        if (strcmp(commands[i].group, group) == 0 && strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run(const struct config *cfg, const struct command *command, int argc, char **argv)
{
    struct admin a = {.cfg = cfg};
    char *uri = NULL;
    int status = ADMIN_USAGE;
    bool bare = command->function == secrets_make_key || command->function == secrets_init;
    enum err e;

    if (args_read(&a.args, argc, argv) && config_store_uri(cfg, &uri) == ERR_OK) {
        a.store_uri = uri;
        e = bare ? ERR_OK : store_open(uri, cfg, &a.store);
        if (e == ERR_INVALID)
            status = ADMIN_USAGE;
        else
            status = e ? admin_fail_store(e) : command->function(&a);
    }
    store_close(a.store);
    args_free(&a.args);
    free(uri);
    return status;
}

int main(int argc, char **argv)
{
    struct config cfg;
    int n = settings_len(argc, argv);

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            char *only[] = {argv[0], argv[i], NULL};
            print_help();
            config_load(&cfg, R_ADMIN, PROGRAM, 2, only); /* prints the settings and exits */
        }
    config_load(&cfg, R_ADMIN, PROGRAM, n, argv);
    const struct command *command = argc - n >= 2 ? find(argv[n], argv[n + 1]) : NULL;
    int status = ADMIN_USAGE;
    if (command)
        status = run(&cfg, command, argc - n - 1, argv + n + 1);
    else if (argc - n >= 2)
        admin_fail(ADMIN_USAGE, "there is no command '%s %s'; see --help", argv[n], argv[n + 1]);
    else
        admin_fail(ADMIN_USAGE,
                   "a command is missing, for instance: " PROGRAM " clients list; see --help");
    config_free(&cfg);
    return status;
}
