/* Clients and their permissions. */
#include "worker/auth/bcrypt.h"
#include "worker/auth/restrictions.h"
#include "worker/auth/security_log.h"
#include "worker/auth/token_issue.h"
#include "worker/clients/document.h"
#include "worker/clients/roles.h"
#include "worker/encoding/json_string.h"
#include "worker/http/jsonbody.h"
#include "worker/http/listing.h"
#include "worker/request/call.h"
#include "worker/request/path_name.h"
#include "worker/validation/schemas.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_clients_list, h_client_get, h_client_put, h_client_delete;

#define NO_CLIENT   "Error: Specified client_id does not exist."
#define NO_MODIFY   "Error: System admin client cannot by modified from API."
#define NO_DELETE   "Error: System admin client cannot by deleted from API."
#define OIDC_FIELDS "Error: Cannot add email or client secret to OIDC client id"
#define NO_SECRET   "Error: Missing client_secret in request body for new client"

/* Limit of a put's tries while the client changes concurrently. */
#define TRIES_MAX 4

static json_t *show(void *arg, json_t *client)
{
    json_t *shown = client_shown(client);

    (void)arg;
    json_decref(client);
    return shown;
}

void h_clients_list(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *clients = NULL;
    struct listing list;

    (void)n;
    if (!listing_begin(&list, c, false))
        return;
    list.show = show;
    enum err e = store_clients_list(c->store, &clients);
    if (e) {
        reply_err(c, e);
    } else {
        listing_take_sorted(&list, clients, "client_id");
        listing_reply(&list, NULL);
    }
    listing_drop(&list);
    json_decref(clients);
}

void h_client_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *client;
    enum err e = store_client_get(c->store, c->request->params[0], &client);

    (void)n;
    if (e == ERR_NOT_FOUND) {
        reply_error(c, 404, NO_CLIENT);
    } else if (e) {
        reply_err(c, e);
    } else {
        reply_json(c, 200, client_shown(client));
        json_decref(client);
    }
}

static bool is_system_admin(struct text id)
{
    return id.len == strlen(SYSTEM_ADMIN) && memcmp(id.s, SYSTEM_ADMIN, id.len) == 0;
}

/* Logs an admin's refused action on the client of the path. */
static void tell_admin(const struct call *c, const char *activity)
{
    char by[SECURITY_NAME_SIZE];
    struct text id = c->request->params[0];

    security_event(c, SECURITY_WARN, "An act of an admin was refused", "authz_admin:%s,%s %.*s",
                   security_caller(c, by), activity, security_shown_len(id), id.s);
}

/* Whether the caller's rank reaches the client's role and the new one. False: answered. */
static bool may_change(struct call *c, const json_t *client, const char *new_role)
{
    char by[SECURITY_NAME_SIZE], act[64], why[3 * SECURITY_NAME_SIZE];
    struct text id = c->request->params[0];
    unsigned role = c->caller.role;

    if (client && role_is_lower(role, role_of(client)))
        snprintf(act, sizeof act, "modify");
    else if (new_role && role_is_lower(role, role_of_name(new_role)))
        snprintf(act, sizeof act, "assign role '%s' to", new_role);
    else
        return true;
    snprintf(why, sizeof why, "%s has insufficient permissions to %s client '%.*s'",
             security_caller(c, by), act, security_shown_len(id), id.s);
    reply_error(c, 403, "%s", why);
    security_refused(c, why);
    return false;
}

/* Why the change revokes the client's refresh tokens; NULL: it does not. */
static const char *ends_tokens(const json_t *client, const json_t *body)
{
    const char *role = json_string_value(json_object_get(body, "role"));

    if (!client)
        return "a new client of the name was made";
    if (json_object_get(body, "client_secret"))
        return "its secret was changed";
    return role && role_of_name(role) != role_of(client) ? "its role was changed" : NULL;
}

/* Checks that need the stored client (NULL: a new one). False: answered. */
static bool may_put(struct call *c, const json_t *client, const json_t *body)
{
    bool secret = json_object_get(body, "client_secret") != NULL;

    if (json_is_string(json_object_get(client, "sub")) &&
        (secret || json_object_get(body, "email"))) {
        tell_admin(c, "change of email or client_secret of the OIDC client");
        reply_error(c, 422, OIDC_FIELDS);
    } else if (!client && !secret) {
        tell_admin(c, "creation without client_secret of client");
        reply_error(c, 400, NO_SECRET);
    } else {
        return may_change(c, client, json_string_value(json_object_get(body, "role")));
    }
    return false;
}

/* The fields to store: the body with a hash in place of the secret. NULL: answered. */
static json_t *fields_of(struct call *c, const json_t *body)
{
    json_t *fields = json_copy((json_t *)(uintptr_t)body);
    const json_t *secret = json_object_get(body, "client_secret");
    char hash[BCRYPT_HASH_SIZE];
    enum err e = ERR_OK;

    json_object_del(fields, "client_secret");
    if (secret) {
        struct text text = json_string_text(secret);
        e = bcrypt_hash(text, (int)c->cfg->bcrypt_rounds, hash);
        json_object_set_new(fields, CLIENT_HASH, json_string(e ? "" : hash));
    }
    if (!e)
        return fields;
    json_decref(fields);
    if (e == ERR_INVALID) /* holds a NUL */
        reply_invalid(c, json_pack("{s:[s]}", "client_secret", "Not a valid string."));
    else
        reply_err(c, e);
    return NULL;
}

#define CREATED "client.create" /* in the audit trail */

/* The effects of a put. */
struct done {
    bool created;
    json_t *client;     /* as it is now; owned */
    int64_t ended;      /* revoked refresh tokens */
    const char *reason; /* why they were revoked */
};

/* "role=…,max_priority={…},…": the role first, since long events are cut at the end. */
static void permissions_text(const json_t *client, char *out, size_t size)
{
    static const char *const names[] = {"max_priority", "allowed_queues", "max_reservation_time"};
    json_t *all = client_permissions(client, false);
    size_t used = (size_t)snprintf(out, size, "role=%s", role_name(role_of(client)));

    for (size_t i = 0; i < sizeof names / sizeof *names && used < size; i++) {
        char *value = json_dumps(json_object_get(all, names[i]), JSON_COMPACT | JSON_ENCODE_ANY);
        used += (size_t)snprintf(out + used, size - used, ",%s=%s", names[i], value ? value : "");
        free(value);
    }
    json_decref(all);
}

/* Logs and audits a put: the client's permissions, and only the names of the sent fields. */
static void tell_put(const struct call *c, const struct done *done, const json_t *body)
{
    bool created = done->created;
    char by[SECURITY_NAME_SIZE], text[4 * SECURITY_NAME_SIZE], names[128] = "no field";
    struct text id = c->request->params[0];
    json_t *list = json_array(), *value;
    const char *name;
    size_t used = 0;

    json_object_foreach ((json_t *)(uintptr_t)body, name, value) {
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name);
        json_array_append_new(list, json_string(name));
    }
    security_caller(c, by);
    snprintf(text, sizeof text, "%s %s client %.*s: %s", by, created ? "created new" : "updated",
             security_shown_len(id), id.s, names);
    char permissions[2 * SECURITY_NAME_SIZE];
    permissions_text(done->client, permissions, sizeof permissions);
    security_event(c, SECURITY_WARN, text, "user_%s:%s,%.*s,%s", created ? "created" : "updated",
                   by, security_shown_len(id), id.s, permissions);
    audit(c, created ? CREATED : "client.update", id, json_pack("{s:o}", "fields", list));
    token_issue_ended(c, id, done->ended, done->reason);
}

/* Reads the client, checks and writes it. ERR_CONFLICT: it changed in between, try again.
 * ERR_INVALID: answered. */
static enum err put_once(struct call *c, const json_t *body, json_t *fields, struct done *done)
{
    struct client_put put = {.client_id = c->request->params[0], .fields = fields};
    json_t *client = NULL, *all = NULL;
    enum err e = store_client_get(c->store, put.client_id, &client);

    if (e && e != ERR_NOT_FOUND)
        return e;
    put.create = e == ERR_NOT_FOUND;
    done->created = put.create;
    done->reason = ends_tokens(client, body);
    put.ends_tokens = done->reason != NULL;
    if (!may_put(c, client, body)) {
        e = ERR_INVALID;
    } else {
        if (put.create) {
            all = client_defaults();
            json_object_update(all, fields);
            put.fields = all;
        }
        put.role = json_object_get(client, "role");
        e = store_client_put(c->store, &put);
        done->ended += put.ended;
        if (e == ERR_NOT_FOUND)
            e = ERR_CONFLICT;
    }
    if (!e) {
        done->client = json_copy(put.create ? all : client);
        json_object_update(done->client, fields);
    }
    json_decref(client);
    json_decref(all);
    return e;
}

/* Puts and logs. Any error: answered. */
static enum err put_and_tell(struct call *c, const json_t *body, json_t *fields, struct done *done)
{
    enum err e = ERR_CONFLICT;

    for (int i = 0; e == ERR_CONFLICT && i < TRIES_MAX; i++)
        e = put_once(c, body, fields, done);
    if (!e)
        tell_put(c, done, body);
    else if (e != ERR_INVALID)
        reply_err(c, e);
    return e;
}

static void put(struct call *c, const json_t *body, json_t *fields)
{
    struct text id = c->request->params[0];
    struct done done = {0};
    char action[AUDIT_ACTION_SIZE];
    enum err e = store_group_begin(c->store);

    if (!e) { /* the change, the revoked tokens and the audit entry are one transaction */
        enum err earlier = audit_find(c, action);
        bool went = !earlier;
        if (went)
            done.created = strcmp(action, CREATED) == 0;
        else if (earlier == ERR_NOT_FOUND)
            went = put_and_tell(c, body, fields, &done) == ERR_OK;
        json_decref(done.client);
        e = store_group_commit(c->store);
        if (!went)
            return;
    }
    if (e) {
        reply_err(c, e);
        return;
    }
    json_t *message = json_sprintf("%s permissions for client '%.*s'",
                                   done.created ? "Created" : "Updated", (int)id.len, id.s);
    reply_text(c, 200, message ? json_string_value(message) : "OK");
    json_decref(message);
}

void h_client_put(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *body = json_body_load(c, &schema_client, 0), *fields;

    (void)n;
    if (!body)
        return;
    if (is_system_admin(c->request->params[0])) {
        tell_admin(c, "change of client");
        reply_error(c, 422, NO_MODIFY);
    } else if (name_of_path_is_fine(c, "client_id") && (fields = fields_of(c, body))) {
        put(c, body, fields);
        json_decref(fields);
    }
    json_decref(body);
}

static void tell_deleted(const struct call *c, const char *description)
{
    char by[SECURITY_NAME_SIZE];
    struct text id = c->request->params[0];

    security_event(c, SECURITY_WARN, description, "user_deleted:%s,%.*s", security_caller(c, by),
                   security_shown_len(id), id.s);
}

void h_client_delete(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];

    (void)n;
    if (is_system_admin(id)) {
        tell_deleted(c, "The removal of a client was refused");
        tell_admin(c, "removal of client");
        reply_error(c, 422, NO_DELETE);
        return;
    }
    if (audit_repeat_answered(c))
        return;
    int64_t ended = 0;
    enum err e = store_client_delete(c->store, id, &ended);
    restrictions_changed();
    if (e == ERR_NOT_FOUND && !c->repeat) {
        tell_deleted(c, "The removal of an unknown client was refused");
        reply_error(c, 404, NO_CLIENT);
    } else if (e && e != ERR_NOT_FOUND) {
        reply_err(c, e);
    } else {
        tell_deleted(c, "A client was removed");
        audit(c, "client.delete", id, NULL);
        token_issue_ended(c, id, ended, "the client was removed");
        reply_text(c, 200, "OK");
    }
}
