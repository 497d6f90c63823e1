#include "worker/clients.h"

#include <stdint.h>

json_t *client_defaults(void)
{
    return json_pack("{s:s, s:{}, s:[], s:{}}", "role", "contributor", "max_priority",
                     "allowed_queues", "max_reservation_time");
}

/* Copies a field of the document, or else of the defaults; nothing where neither has it. */
static void copy(json_t *to, const json_t *client, const json_t *defaults, const char *name)
{
    json_t *value = json_object_get(client, name);

    if (!value || json_is_null(value))
        value = json_object_get(defaults, name);
    if (value)
        json_object_set(to, name, value);
}

static json_t *copies(const json_t *client, const char *const *names, size_t n)
{
    json_t *to = json_object(), *defaults = client_defaults();

    for (size_t i = 0; i < n; i++)
        copy(to, client, defaults, names[i]);
    json_decref(defaults);
    return to;
}

json_t *client_permissions(const json_t *client, int all)
{
    static const char *const names[] = {
        "client_id", "role",  "max_priority", "allowed_queues", "max_reservation_time",
        "email",     "agents"};
    json_t *permissions = copies(client, names, sizeof names / sizeof *names);

    if (all) {
        json_t *rest = json_copy((json_t *)(uintptr_t)client);
        json_object_del(rest, CLIENT_HASH);
        json_object_update_missing(permissions, rest);
        json_decref(rest);
    }
    return permissions;
}

json_t *client_shown(const json_t *client)
{
    static const char *const names[] = {
        "client_id", "max_priority", "allowed_queues", "max_reservation_time",
        "role",      "email",        "agents"};

    return copies(client, names, sizeof names / sizeof *names);
}
