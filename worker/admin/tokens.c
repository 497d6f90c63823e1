/* Refresh tokens: list, revoke. */
#include "worker/admin/admin.h"

#include <stdio.h>
#include <string.h>

static struct text client_of(const struct args *args)
{
    return (struct text){args->client, args->client ? strlen(args->client) : 0};
}

static const char *field(const json_t *token, const char *name)
{
    const char *value = json_string_value(json_object_get(token, name));

    return value ? value : "";
}

int tokens_list(struct admin *a)
{
    json_t *tokens, *token;
    size_t i;
    enum err e = store_refresh_list(a->store, client_of(&a->args), &tokens);

    if (e)
        return admin_fail_store(e);
    if (a->args.json)
        return admin_print(tokens);
    printf("%-24s  %-20s  %-20s  %-20s  %s\n", "ID", "EXPIRES", "LAST USE", "STATE", "CLIENT");
    json_array_foreach (tokens, i, token)
        printf("%-24s  %-20s  %-20s  %-20s  %s\n", field(token, "id"), field(token, "expires_at"),
               field(token, "last_accessed"),
               json_is_true(json_object_get(token, "revoked")) ? "revoked" : "",
               field(token, "client_id"));
    json_decref(tokens);
    return ADMIN_OK;
}

/* Revokes a token, and adds its id to `revoked` unless it was revoked before. */
static int revoke(struct admin *a, const char *id, const char *client, json_t *revoked)
{
    bool now = false;
    enum err e = store_refresh_revoke(a->store, id, &now);

    if (e == ERR_NOT_FOUND)
        return admin_fail(ADMIN_FAILED, "there is no refresh token of the id '%s'", id);
    if (e)
        return admin_fail_store(e);
    if (now) {
        json_array_append_new(revoked, json_string(id));
        admin_audit(a, "token.revoke", client, json_pack("{s:s}", "token", id));
    }
    return ADMIN_OK;
}

static int revoke_of_client(struct admin *a, json_t *revoked)
{
    json_t *tokens, *token;
    int status = ADMIN_OK;
    size_t i;
    enum err e = store_refresh_list(a->store, client_of(&a->args), &tokens);

    if (e)
        return admin_fail_store(e);
    json_array_foreach (tokens, i, token)
        if (status == ADMIN_OK)
            status = revoke(a, field(token, "id"), a->args.client, revoked);
    json_decref(tokens);
    return status;
}

int tokens_revoke(struct admin *a)
{
    json_t *revoked;
    int status = ADMIN_OK;

    if (!a->args.client && !a->args.words_len)
        return admin_fail(ADMIN_USAGE, "name ids of tokens, or a client with --client");
    revoked = json_array();
    for (int i = 0; status == ADMIN_OK && i < a->args.words_len; i++)
        status = revoke(a, a->args.words[i], "", revoked);
    if (status == ADMIN_OK && a->args.client)
        status = revoke_of_client(a, revoked);
    if (status == ADMIN_OK && a->args.json)
        admin_print(json_pack("{s:O}", "revoked", revoked));
    else if (status == ADMIN_OK)
        printf("%zu refresh tokens revoked\n", json_array_size(revoked));
    json_decref(revoked);
    return status;
}
