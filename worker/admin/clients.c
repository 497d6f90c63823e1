/* Clients: create, list, edit, remove. */
#include "worker/admin/draft.h"
#include "worker/admin/prompt.h"
#include "worker/clients/document.h"
#include "worker/clients/roles.h"
#include "worker/validation/names.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

/* Restricts queues for the client, and removes it from others. */
static enum err change_queues(struct admin *a, const char *id)
{
    json_t *queue;
    enum err e = ERR_OK;
    size_t i;

    json_array_foreach (a->args.allow, i, queue)
        if (!e)
            e = store_queue_restrict(a->store, text_of(json_string_value(queue)), text_of(id));
    json_array_foreach (a->args.disallow, i, queue)
        if (!e) {
            e = store_queue_unrestrict(a->store, text_of(json_string_value(queue)), text_of(id));
            if (e == ERR_NOT_FOUND)
                e = ERR_OK;
        }
    return e;
}

/* Shows the stored client, with its secret if it was made here. */
static int show(struct admin *a, const struct draft *d, const char *what)
{
    json_t *client, *shown;
    enum err e = store_client_get(a->store, text_of(d->id), &client);

    if (e)
        return admin_fail_store(e);
    shown = client_shown(client);
    json_decref(client);
    if (a->args.secret == SECRET_GENERATE)
        json_object_set_new(shown, "client_secret", json_string(d->secret));
    if (a->args.json)
        return admin_print(shown);
    json_decref(shown);
    printf("Client %s %s.\n", d->id, what);
    if (a->args.secret == SECRET_GENERATE)
        printf("Secret, shown only now: %s\n", d->secret);
    return ADMIN_OK;
}

/* Names of the fields that were set; not their values: one may be a hash. */
static json_t *names_of(const json_t *fields)
{
    json_t *names = json_array(), *value;
    const char *name;

    json_object_foreach ((json_t *)(uintptr_t)fields, name, value)
        json_array_append_new(names, json_string(name));
    return json_pack("{s:o}", "fields", names);
}

/* Changes the client, ends its tokens and adds the audit entry in one transaction. `action`:
 * "client.create" or "client.update". */
static enum err put(struct admin *a, struct client_put *put, const struct draft *d,
                    const char *action)
{
    enum err e = store_group_begin(a->store);

    if (e)
        return e;
    e = store_client_put(a->store, put);
    if (!e)
        admin_audit(a, action, d->id, names_of(put->fields));
    if (!e)
        admin_ended(a, d->id, put->ended,
                    put->create ? "a new client of the name was made"
                    : d->secret ? "its secret was changed"
                                : "its role was changed");
    enum err end = store_group_commit(a->store);
    return e ? e : end;
}

/* Makes the client. */
static int create(struct admin *a, struct draft *d)
{
    const char *fault = name_fault(text_of(d->id));

    if (fault)
        return admin_fail(ADMIN_USAGE, "no client can have this id: %s", fault);
    int status = draft_secret(d, a, true);
    if (status != ADMIN_OK)
        return status;
    struct client_put new = {.client_id = text_of(d->id), .create = true, .ends_tokens = true};
    json_t *fields = draft_fields(d, a, NULL);
    new.fields = fields;
    enum err e = fields ? put(a, &new, d, "client.create") : ERR_INTERNAL;
    if (!e)
        e = change_queues(a, d->id);
    json_decref(fields);
    if (e == ERR_CONFLICT)
        return admin_fail(ADMIN_FAILED,
                          "there is a client '%s' already; change it with: clients "
                          "edit",
                          d->id);
    return e ? admin_fail_store(e) : show(a, d, "created");
}

int clients_create(struct admin *a)
{
    struct draft d = {0};
    int status = draft_id(&d, a);

    if (status == ADMIN_OK) {
        draft_ask(a, "contributor");
        status = create(a, &d);
    }
    draft_free(&d);
    return status;
}

int clients_init(struct admin *a)
{
    char id[] = SYSTEM_ADMIN, *words[] = {id};
    struct draft d = {0};

    if (a->args.words_len)
        return admin_fail(ADMIN_USAGE, "too many arguments; see --help");
    a->args.words = words;
    a->args.words_len = 1;
    a->args.role = role_name(ROLE_ADMIN);
    int status = draft_id(&d, a);
    if (status == ADMIN_OK)
        status = create(a, &d);
    draft_free(&d);
    return status;
}

/* Reads and changes the client once. */
static int edit_once(struct admin *a, struct draft *d, enum err *ret)
{
    struct client_put change = {.client_id = text_of(d->id)};
    json_t *client = NULL, *fields = NULL;

    *ret = store_client_get(a->store, change.client_id, &client);
    if (*ret == ERR_NOT_FOUND)
        return admin_fail(ADMIN_FAILED, "there is no client '%s'", d->id);
    if (!*ret) {
        fields = draft_fields(d, a, client);
        change.fields = fields;
        change.role = json_object_get(client, "role");
        const char *role = json_string_value(json_object_get(fields, "role"));
        change.ends_tokens = d->secret || (role && role_of_name(role) != role_of(client));
        *ret = fields ? put(a, &change, d, "client.update") : ERR_INTERNAL;
    }
    json_decref(fields);
    json_decref(client);
    return ADMIN_OK;
}

static int edit(struct admin *a, struct draft *d)
{
    enum err e = ERR_CONFLICT;
    int status = draft_secret(d, a, false);

    for (int i = 0; status == ADMIN_OK && e == ERR_CONFLICT && i < 4; i++)
        status = edit_once(a, d, &e);
    if (status != ADMIN_OK)
        return status;
    if (!e)
        e = change_queues(a, d->id);
    return e ? admin_fail_store(e) : show(a, d, "changed");
}

int clients_edit(struct admin *a)
{
    struct draft d = {0};
    json_t *client = NULL;
    int status = draft_id(&d, a);

    if (status == ADMIN_OK) {
        enum err e = store_client_get(a->store, text_of(d.id), &client);
        if (!e)
            draft_ask(a, role_name(role_of(client)));
        json_decref(client);
        status = edit(a, &d);
    }
    draft_free(&d);
    return status;
}

static enum err drop(struct admin *a, const char *id)
{
    int64_t ended = 0;
    enum err e = store_group_begin(a->store);

    if (e)
        return e;
    e = store_client_delete(a->store, text_of(id), &ended);
    if (!e) {
        admin_audit(a, "client.delete", id, NULL);
        admin_ended(a, id, ended, "the client was removed");
    }
    enum err end = store_group_commit(a->store);
    return e ? e : end;
}

int clients_remove(struct admin *a)
{
    struct draft d = {0};
    int status = draft_id(&d, a);

    if (status == ADMIN_OK && !a->args.yes &&
        !(prompt_possible() && prompt_yes("Remove client %s? [y/N] ", d.id)))
        status = admin_fail(ADMIN_USAGE, "not removed; confirm with --yes");
    if (status == ADMIN_OK) {
        enum err e = drop(a, d.id);
        if (e == ERR_NOT_FOUND)
            status = admin_fail(ADMIN_FAILED, "there is no client '%s'", d.id);
        else if (e)
            status = admin_fail_store(e);
        else if (a->args.json)
            admin_print(json_pack("{s:s}", "removed", d.id));
        else
            printf("Client %s removed.\n", d.id);
    }
    draft_free(&d);
    return status;
}

/* {"a": 1, "b": 2} or ["a", "b"] as "a=1 b=2" or "a b". */
static void print_values(const char *title, json_t *values)
{
    json_t *value;
    const char *name;
    size_t i;

    if (json_object_size(values) == 0 && json_array_size(values) == 0)
        return;
    printf("    %-22s", title);
    json_object_foreach (values, name, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        printf(" %s=%s", name, text ? text : "?");
        free(text);
    }
    json_array_foreach (values, i, value)
        printf(" %s", json_is_string(value) ? json_string_value(value) : "?");
    putchar('\n');
}

static void print_client(json_t *client)
{
    const char *email = json_string_value(json_object_get(client, "email"));

    printf("%s (%s)%s%s\n", json_string_value(json_object_get(client, "client_id")),
           role_name(role_of(client)), email ? " " : "", email ? email : "");
    print_values("highest priority:", json_object_get(client, "max_priority"));
    print_values("allowed queues:", json_object_get(client, "allowed_queues"));
    print_values("longest reservation:", json_object_get(client, "max_reservation_time"));
    print_values("agents:", json_object_get(client, "agents"));
}

int clients_list(struct admin *a)
{
    json_t *clients = NULL, *client = NULL, *shown = json_array();
    size_t i;
    enum err e;

    if (a->args.words_len) {
        e = store_client_get(a->store, text_of(a->args.words[0]), &client);
        clients = json_array();
        if (!e)
            json_array_append_new(clients, client);
    } else {
        e = store_clients_list(a->store, &clients);
    }
    json_array_foreach (clients, i, client)
        json_array_append_new(shown, client_shown(client));
    json_decref(clients);
    if (!e && !a->args.json)
        json_array_foreach (shown, i, client)
            print_client(client);
    if (!e && a->args.json)
        return admin_print(shown);
    json_decref(shown);
    if (e == ERR_NOT_FOUND)
        return admin_fail(ADMIN_FAILED, "there is no client '%s'", a->args.words[0]);
    return e ? admin_fail_store(e) : ADMIN_OK;
}
