#include "worker/auth/authorize.h"

#include "common/log.h"
#include "common/op.h"
#include "worker/auth/security_log.h"
#include "worker/auth/session.h"
#include "worker/auth/signing_keys.h"
#include "worker/clients/roles.h"
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/request/form.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BEARER "Bearer "

/* The token of a Bearer header; false: another scheme. */
static bool bearer(struct text header, struct text *ret)
{
    size_t n = strlen(BEARER);

    if (header.len < n || strncasecmp(header.s, BEARER, n) != 0)
        return false;
    header.s += n;
    header.len -= n;
    while (header.len && *header.s == ' ')
        header.s++, header.len--;
    *ret = header;
    return true;
}

/* A binding that is not a string becomes "?", which matches no client. */
static void take_binding(struct caller *who, const json_t *binding)
{
    const char *text = json_is_string(binding) ? json_string_value(binding) : "?";

    snprintf(who->binding, sizeof who->binding, "%s", binding ? text : "");
}

/* Checks a token and takes its permissions. */
static enum err take_token(struct call *c, struct text token)
{
    const struct token_keys *keys;
    struct caller *who = &c->caller;
    json_t *claims = NULL;
    enum err e = signing_keys_get(c, &keys);

    if (e)
        return e;
    who->fault =
        token_decode(keys, token, store_now_ms(c->store) / 1000, c->cfg->jwt_leeway, &claims);
    if (who->fault)
        return ERR_OK;
    who->has_token = true;
    who->permissions = json_incref(json_object_get(claims, "permissions"));
    who->issued_s = (int64_t)json_number_value(json_object_get(claims, "iat"));
    take_binding(who, json_object_get(claims, "binding"));
    json_decref(claims);
    if (!json_is_object(who->permissions)) {
        json_decref(who->permissions);
        who->permissions = json_object();
    }
    who->role = role_of(who->permissions);
    return ERR_OK;
}

/* The first command line sends the whole answer of a login as its token: takes the token out of it.
 * *ret_keep: what the token lies in; owned. */
static void take_out(struct text *token, json_t **ret_keep)
{
    if (!token->len || *token->s != '{')
        return;
    *ret_keep = json_loadb(token->s, token->len, 0, NULL);
    const json_t *inner = json_object_get(*ret_keep, "access_token");
    if (inner && json_is_string(inner))
        *token = json_string_text(inner);
}

/* The open mode refuses nobody. Old clients send the token without "Bearer". */
static enum err look(struct call *c, struct text header)
{
    struct text token = header;
    json_t *answer = NULL;

    c->caller.role = ROLE_CONTRIBUTOR;
    if (!header.s)
        return ERR_OK;
    bearer(header, &token);
    take_out(&token, &answer);
    enum err e = take_token(c, token);
    json_decref(answer);
    return e;
}

/* No usable token. */
static void refuse_unknown(struct call *c, int status, const char *text)
{
    reply_error(c, status, "%s", text);
    security_refused(c, text);
}

/* The other modes: a faulty token is refused. */
static enum err demand(struct call *c, struct text header)
{
    bool login = c->cfg->auth == AUTH_LOGIN;
    struct text token;

    if (!header.s || !bearer(header, &token)) {
        if (login)
            refuse_unknown(c, 401, "Authentication is required for specified endpoint");
        else
            c->caller.role = header.s ? 0 : ROLE_CONTRIBUTOR;
        return ERR_OK;
    }
    enum err e = take_token(c, token);
    if (!e && c->caller.fault)
        refuse_unknown(c, token_answer(c->caller.fault).status, token_answer(c->caller.fault).text);
    return e;
}

/* Roles that pass because their handler decides: with owner-rules users fetch the attachments of
 * their jobs (authorize_owner), agents submit child jobs (child_jobs.h). */
static unsigned passing_roles(const struct call *c)
{
    if (c->cfg->owner_rules && route_op(c->route) == OP_ATTACHMENTS_GET)
        return ROLES_USERS;
    return route_op(c->route) == OP_JOB_ADD ? ROLE_AGENT : 0;
}

void authorize_refuse_role(struct call *c, unsigned allowed)
{
    char names[ROLES_TEXT_SIZE];

    reply_error(c, 403, "Specified action requires role: %s", roles_text(allowed, names));
    security_refused(c, "the role does not allow it");
}

static void check_role(struct call *c)
{
    unsigned passing = passing_roles(c), allowed = route_roles(c->route);

    if ((allowed | passing) & c->caller.role)
        return;
    authorize_refuse_role(c, route_op(c->route) == OP_JOB_ADD ? allowed : allowed | passing);
}

/* A token stays valid after its client changes. Effects of guarded routes outlive the token, so
 * check the client's current document; the lower of both roles counts. */
static void check_client(struct call *c)
{
    struct caller *who = &c->caller;
    struct text id = caller_id(c);
    json_t *client = NULL;
    enum err e = id.s ? store_client_get(c->store, id, &client) : ERR_NOT_FOUND;

    if (e && e != ERR_NOT_FOUND) {
        reply_err(c, e);
        return;
    }
    if (!e && role_is_lower(role_of(client), who->role))
        who->role = role_of(client);
    check_role(c);
    if (!c->reply.status && (e || !client_issued(client, who->binding, who->issued_s * 1000))) {
        reply_error(c, 401, "Token has been revoked");
        security_refused(c, "the client was removed or changed after its token was issued");
    }
    json_decref(client);
}

/* The form of an action. With a session it must carry what only the session's pages have; a page of
 * a session that has ended does not act as somebody without one. */
static void read_form(struct call *c)
{
    bool upload = route_flags(c->route) & ROUTE_UPLOAD;
    struct text sent = {NULL, 0};

    if ((c->ask && !upload) || (!upload && !form_load(c)) || route_op(c->route) == OP_WEB_LOGIN)
        return;
    if (upload)
        query_first(c->request, SESSION_FIELD, &sent);
    else
        sent = form_text(c, SESSION_FIELD);
    if (c->caller.has_token && !session_form_fits(c, sent)) {
        reply_error(c, 403, "This form is not of your session: load its page again, then send it");
        security_refused(c, "the form does not carry the token of the session");
    } else if (!c->caller.has_token && sent.len) {
        reply_error(c, 401, "You are not signed in any more: sign in, then send the form again");
    }
}

/* Pages look at no token, only at sessions. */
static void look_at_visitor(struct call *c)
{
    bool guarded = route_flags(c->route) & ROUTE_GUARDED, open = c->cfg->auth == AUTH_OPEN;

    c->caller.role = ROLE_CONTRIBUTOR;
    enum err e = session_look(c);
    if (e) {
        reply_err(c, e);
    } else if (route_roles(c->route) != ROLES_ANYONE) {
        if (!c->caller.has_token && (guarded || c->cfg->auth == AUTH_LOGIN))
            reply_error(c, 401, "You need to sign in to access this page.");
        else if (guarded || !open)
            check_role(c);
    }
    if (!c->reply.status && route_method(c->route) == HTTP_POST)
        read_form(c);
}

void authorize_pass(struct call *c)
{
    struct text header = c->request->headers[HDR_AUTHORIZATION];
    bool open = c->cfg->auth == AUTH_OPEN && !(route_flags(c->route) & ROUTE_GUARDED);

    if (c->reply.status)
        return;
    if (route_is_web(c->route)) {
        look_at_visitor(c);
        return;
    }
    if (route_roles(c->route) == ROLES_ANYONE)
        return;
    enum err e = open ? look(c, header) : demand(c, header);
    if (e)
        reply_err(c, e);
    if (c->reply.status || open)
        return;
    check_role(c);
    if (!c->reply.status && (route_flags(c->route) & ROUTE_GUARDED) && c->caller.has_token)
        check_client(c);
}

static bool equal(const json_t *s, struct text t)
{
    return json_is_string(s) && json_string_length(s) == t.len &&
           memcmp(json_string_value(s), t.s, t.len) == 0;
}

bool authorize_speaks_for(const json_t *permissions, struct text agent)
{
    const json_t *agents = json_object_get(permissions, "agents"), *name;
    size_t i;

    if (equal(json_object_get(permissions, "client_id"), agent))
        return true;
    json_array_foreach (agents, i, name)
        if (equal(name, agent))
            return true;
    return false;
}

bool authorize_is(const struct call *c, unsigned roles)
{
    return c->caller.has_token && (c->caller.role & roles);
}

bool authorize_agent(struct call *c, struct text agent)
{
    if (c->cfg->agent_identity == AGENT_IDENTITY_ANY || authorize_is(c, ROLES_MANAGERS) ||
        (c->caller.has_token && agent.s && authorize_speaks_for(c->caller.permissions, agent)))
        return true;
    reply_error(c, c->caller.has_token ? 403 : 401, "The token is not one of agent '%.*s'",
                (int)(agent.s ? agent.len : 0), agent.s ? agent.s : "");
    security_refused(c, "the client does not speak for this agent");
    return false;
}

bool authorize_owner(struct call *c, struct text job_id, unsigned also)
{
    json_t *submitter = NULL;

    if (!c->cfg->owner_rules || authorize_is(c, ROLES_MANAGERS | also))
        return true;
    enum err e = store_job_submitter(c->store, job_id, &submitter);
    bool may = e == ERR_NOT_FOUND ||
               (!e && (!submitter ||
                       json_equal(submitter, json_object_get(c->caller.permissions, "client_id"))));
    json_decref(submitter);
    if (may)
        return true;
    if (e) {
        reply_err(c, e);
        return false;
    }
    reply_error(c, c->caller.has_token ? 403 : 401,
                "Only the submitter of the job, managers and admins may do this");
    security_refused(c, "the job is of another client");
    return false;
}
