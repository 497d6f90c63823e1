#include "worker/clients/roles.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ROLES_LEN = 4 };

/* Highest first. */
static const unsigned order[ROLES_LEN] = {ROLE_ADMIN, ROLE_MANAGER, ROLE_CONTRIBUTOR, ROLE_AGENT};

unsigned role_of_name(const char *name)
{
    for (size_t i = 0; i < ROLES_LEN; i++)
        if (strcasecmp(name, role_names[i]) == 0)
            return order[i];
    return 0;
}

unsigned role_of(const json_t *permissions)
{
    const json_t *role = json_object_get(permissions, "role");

    if (!role || json_is_null(role))
        return ROLE_CONTRIBUTOR;
    return json_is_string(role) ? role_of_name(json_string_value(role)) : 0;
}

/* Position from the top; none is below all. */
static size_t rank(unsigned role)
{
    size_t i = 0;

    while (i < ROLES_LEN && order[i] != role)
        i++;
    return i;
}

const char *role_name(unsigned role)
{
    size_t i = rank(role);

    return i < ROLES_LEN ? role_names[i] : "";
}

bool role_is_lower(unsigned role, unsigned than)
{
    return rank(role) > rank(than);
}

const char *roles_text(unsigned roles, char out[ROLES_TEXT_SIZE])
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < ROLES_LEN; i++)
        if (roles & order[i])
            used += (size_t)snprintf(out + used, ROLES_TEXT_SIZE - used, "%s%s", used ? ", " : "",
                                     role_names[i]);
    return out;
}
