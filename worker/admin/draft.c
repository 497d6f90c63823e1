#include "worker/admin/draft.h"

#include "common/mem.h"
#include "common/random.h"
#include "worker/admin/prompt.h"
#include "worker/auth/bcrypt.h"
#include "worker/clients/document.h"
#include "worker/clients/roles.h"
#include "worker/encoding/base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_SHORT  15 /* characters; the API's minimum */
#define SECRET_RANDOM 24 /* bytes of a random secret */

void draft_free(struct draft *d)
{
    if (d->secret)
        explicit_bzero(d->secret, strlen(d->secret));
    free(d->secret);
    free(d->id);
}

int draft_id(struct draft *d, struct admin *a)
{
    const struct args *args = &a->args;

    if (args->words_len > 1)
        return admin_fail(ADMIN_USAGE, "too many arguments; see --help");
    if (args->words_len == 1)
        d->id = mem_strdup(args->words[0]);
    else if (prompt_possible())
        d->id = prompt_line("Client id: ");
    json_t *valid = d->id ? json_string(d->id) : NULL;
    json_decref(valid);
    if (!valid || !*d->id)
        return admin_fail(ADMIN_USAGE, "give the id of the client, in UTF-8");
    if (strchr(d->id, ':'))
        return admin_fail(ADMIN_USAGE, "a client id with a colon cannot log in");
    return ADMIN_OK;
}

static char *random_secret(void)
{
    unsigned char bytes[SECRET_RANDOM];
    struct buf text = BUF_INIT(64);

    random_fill(bytes, sizeof bytes);
    return base64_encode(bytes, sizeof bytes, BASE64_URL, &text) ? NULL : text.data;
}

int draft_secret(struct draft *d, struct admin *a, bool needed)
{
    if (a->args.secret == SECRET_GENERATE)
        d->secret = random_secret();
    else if (a->args.secret == SECRET_STDIN)
        d->secret = prompt_first_line();
    else if (needed && prompt_possible())
        d->secret = prompt_secret("Secret");
    else if (needed)
        return admin_fail(ADMIN_USAGE, "give a secret: --secret-stdin, or --generate to have one "
                                       "made");
    else
        return ADMIN_OK;
    if (!d->secret || !*d->secret)
        return admin_fail(ADMIN_USAGE, "the secret is empty");
    if (strlen(d->secret) < SECRET_SHORT)
        fprintf(stderr, "The secret has less than %d characters, which is short.\n", SECRET_SHORT);
    return ADMIN_OK;
}

static bool is_given(const struct args *a)
{
    return a->role || a->email || a->max_priority || a->max_reservation || a->allow ||
           a->disallow || a->agents || a->not_agents || a->secret != SECRET_NONE || a->json;
}

static void ask_role(struct args *a, const char *now)
{
    while (!a->role) {
        char *line = prompt_line("Role: admin, manager, contributor or agent [%s]: ", now);
        bool end = !line || !*line;
        for (size_t i = 0; !end && role_names[i]; i++)
            if (strcmp(role_names[i], line) == 0)
                a->role = role_names[i];
        free(line);
        if (end)
            return;
    }
}

static void ask_numbers(json_t **object, const char *what)
{
    for (;;) {
        char *line = prompt_line("%s as QUEUE=NUMBER, * for all queues (empty: no more): ", what);
        bool end = !line || !*line;
        if (!end && !args_add_number(object, line))
            fputs("That is not QUEUE=NUMBER.\n", stderr);
        free(line);
        if (end)
            return;
    }
}

static void ask_queues(json_t **queues)
{
    for (;;) {
        char *line = prompt_line("Restricted queue that it may use (empty: no more): ");
        bool end = !line || !*line;
        if (!end && !*queues)
            *queues = json_array();
        if (!end && json_array_append_new(*queues, json_string(line)) != 0)
            fputs("That is not UTF-8.\n", stderr);
        free(line);
        if (end)
            return;
    }
}

void draft_ask(struct admin *a, const char *role)
{
    if (is_given(&a->args) || !prompt_possible())
        return;
    ask_role(&a->args, role);
    ask_numbers(&a->args.max_priority, "Highest priority");
    ask_queues(&a->args.allow);
    ask_numbers(&a->args.max_reservation, "Longest reservation in seconds");
}

/* Applies the changes to the numbers by queue; null removes an entry. */
static void merge_numbers(json_t *fields, const json_t *client, const char *name, json_t *changes)
{
    json_t *merged, *value;
    const char *queue;

    if (!changes)
        return;
    merged = json_is_object(json_object_get(client, name))
                 ? json_copy(json_object_get(client, name))
                 : json_object();
    json_object_foreach (changes, queue, value)
        if (json_is_null(value))
            json_object_del(merged, queue);
        else
            json_object_set(merged, queue, value);
    json_object_set_new(fields, name, merged);
}

static bool holds(const json_t *names, const json_t *name)
{
    json_t *other;
    size_t i;

    json_array_foreach (names, i, other)
        if (json_equal(other, name))
            return true;
    return false;
}

static void merge_agents(json_t *fields, const json_t *client, const struct args *a)
{
    json_t *merged, *name;
    size_t i;

    if (!a->agents && !a->not_agents)
        return;
    merged = json_array();
    json_array_foreach (json_object_get(client, "agents"), i, name)
        if (!holds(a->not_agents, name))
            json_array_append(merged, name);
    json_array_foreach (a->agents, i, name)
        if (!holds(merged, name))
            json_array_append(merged, name);
    json_object_set_new(fields, "agents", merged);
}

json_t *draft_fields(const struct draft *d, const struct admin *a, const json_t *client)
{
    json_t *fields = client ? json_object() : client_defaults();
    char hash[BCRYPT_HASH_SIZE];

    if (a->args.role)
        json_object_set_new(fields, "role", json_string(a->args.role));
    if (a->args.email)
        json_object_set_new(fields, "email",
                            *a->args.email ? json_string(a->args.email) : json_null());
    merge_numbers(fields, client, "max_priority", a->args.max_priority);
    merge_numbers(fields, client, "max_reservation_time", a->args.max_reservation);
    merge_agents(fields, client, &a->args);
    if (!d->secret)
        return fields;
    struct text secret = {d->secret, strlen(d->secret)};
    if (bcrypt_hash(secret, (int)a->cfg->bcrypt_rounds, hash)) {
        json_decref(fields);
        return NULL;
    }
    json_object_set_new(fields, CLIENT_HASH, json_string(hash));
    return fields;
}
