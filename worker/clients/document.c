#include "worker/clients/document.h"

#include "worker/clients/roles.h"
#include "worker/encoding/sha256.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digits of an ObjectId: the first 8 are the second in which it was made. */
#define OID_LEN         24
#define OID_SECONDS_LEN 8

/* Clocks of the machines that make clients and tokens may differ by this. */
#define CLOCKS_MS 5000

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
        json_object_del(rest, CLIENT_SELF);
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

void client_binding(const json_t *client, char out[BINDING_SIZE])
{
    json_t *self = json_object_get(client, CLIENT_SELF),
           *hash = json_object_get(client, CLIENT_HASH);
    json_t *parts = json_pack("[O?, O?, s]", self, hash, role_name(role_of(client)));
    char *text = json_dumps(parts, JSON_COMPACT), digest[SHA256_TEXT_SIZE];

    sha256_text((struct text){text, text ? strlen(text) : 0}, digest);
    snprintf(out, BINDING_SIZE, "%.*s", BINDING_SIZE - 1, digest);
    free(text);
    json_decref(parts);
}

/* When the client was made, 0: it is not known. */
static int64_t made_ms(const json_t *client)
{
    const json_t *self = json_object_get(client, CLIENT_SELF);
    char digits[OID_SECONDS_LEN + 1] = "", *end;

    if (json_string_length(self) != OID_LEN)
        return 0;
    memcpy(digits, json_string_value(self), OID_SECONDS_LEN);
    long long seconds = strtoll(digits, &end, 16);
    return *end ? 0 : (int64_t)seconds * 1000;
}

bool client_issued(const json_t *client, const char *binding, int64_t issued_ms)
{
    char now[BINDING_SIZE];

    if (!*binding)
        return issued_ms + CLOCKS_MS >= made_ms(client);
    client_binding(client, now);
    return strcmp(binding, now) == 0;
}
