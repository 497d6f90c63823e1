/* The mode of an agent, which operators set by a post of the agent's data. */
#include "worker/handlers/holds.h"

#include "common/clock.h"
#include "worker/auth/authorize.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/http/cookie.h"

#include <string.h>

#define AGENT_STATE_ONLINE "waiting" /* what command lines post to put an agent back */
#define MODE_RESTART       "RESTART"
#define WAKES_MAX          64 /* queues of an agent whose waiting polls are asked again at once */

/* Whether the agent itself posts: by its role or, without a token, by the cookie that its earlier
 * posts got. */
static bool is_agent(const struct call *c, struct text name)
{
    struct text cookie = c->request->headers[HDR_COOKIE];
    struct buf value = BUF_INIT(4 * NAME_BYTES_MAX);

    if (c->caller.has_token)
        return c->caller.role == ROLE_AGENT;
    bool same = cookie.s && cookie_get(cookie, "agent_name", &value) &&
                text_equal(name, (struct text){value.data, value.len});
    buf_free(&value);
    return same;
}

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* A post without a mode: an operator's state `waiting` ends any, the post of a started agent, which
 * tells its queues, a restart. */
static void take_end(struct call *c, const json_t *fields, struct agent_mode *m)
{
    if (authorize_is(c, ROLES_MANAGERS) &&
        is_text(json_object_get(fields, "state"), AGENT_STATE_ONLINE)) {
        m->ends = true;
    } else if (json_object_get(fields, "queues")) {
        m->ends = true;
        m->hold.only = MODE_RESTART;
    }
}

/* Fills the hold of a mode other than ONLINE. */
static void take_hold(json_t *fields, int64_t until_ms, struct agent_mode *m)
{
    m->changes = true;
    m->reason = json_incref(json_object_get(fields, "comment"));
    m->hold.mode = json_string_value(m->mode);
    m->hold.reason =
        (struct text){m->reason ? json_string_value(m->reason) : "", json_string_length(m->reason)};
    m->hold.until_ms = until_ms;
    json_object_del(fields, "comment");
    json_object_del(fields, "mode");
}

bool agent_mode_take(struct call *c, struct text name, json_t *fields, struct agent_mode *ret)
{
    const json_t *comment = json_object_get(fields, "comment");
    const json_t *until = json_object_get(fields, "mode_until");
    int64_t until_ms = json_integer_value(until);
    char date[CLOCK_TEXT_SIZE];

    *ret = (struct agent_mode){.hold = {.kind = HOLD_AGENT,
                                        .name = name,
                                        .by = caller_id(c),
                                        .at_ms = c->request->received_us / 1000}};
    ret->mode = json_incref(json_object_get(fields, "mode"));
    if (!ret->mode)
        take_end(c, fields, ret);
    if (ret->mode && !is_agent(c, name)) {
        bool online = is_text(ret->mode, HOLD_MODE_ONLINE);
        bool reasoned = !online && !is_text(ret->mode, MODE_RESTART);
        if (!hold_reason_is_fine(c, "comment", comment, reasoned) ||
            !hold_end_is_fine(c, "mode_until", until))
            return false;
        ret->detail = json_pack("{s:O, s:O*}", "mode", ret->mode, "comment", comment);
        if (!online && until_ms) {
            clock_rfc3339(until_ms, date);
            json_object_set_new(ret->detail, "until", json_string(date));
        }
        if (online)
            ret->ends = true;
        else
            take_hold(fields, until_ms, ret);
    }
    json_object_del(fields, "mode_until");
    return true;
}

/* Lets the waiting polls of an agent ask again. */
static void wake(struct call *c, struct text name)
{
    struct agent_read read = {.name = name};
    json_t *queue;
    size_t i;

    if (store_agents_get(c->store, &read, 1) || read.err)
        return;
    json_array_foreach (json_object_get(read.agent, "queues"), i, queue)
        if (i < WAKES_MAX && json_is_string(queue))
            call_wakes(c, json_string_text(queue));
    json_decref(read.agent);
}

/* *ret_apply false: there is nothing to end, or a run of this request did it before. */
static enum err is_needed(struct call *c, const struct agent_mode *m, bool *ret_apply)
{
    struct hold_look look = {.kind = HOLD_AGENT, .name = m->hold.name, .held = true};
    char action[AUDIT_ACTION_SIZE];
    enum err e;

    *ret_apply = false;
    if (m->detail && (e = audit_find(c, action)) != ERR_NOT_FOUND)
        return e;
    if (m->ends && !m->detail && (e = store_holds_find(c->store, &look, 1)))
        return e;
    *ret_apply = look.held;
    return ERR_OK;
}

bool agent_mode_store(struct call *c, struct agent_mode *m, bool *ret_audited)
{
    bool apply = false;
    enum err e = m->changes || m->ends ? is_needed(c, m, &apply) : ERR_OK;

    *ret_audited = m->detail != NULL;
    if (e) {
        if (!c->reply.status)
            reply_err(c, e);
        return false;
    }
    if (apply && !hold_store(c, &m->hold))
        return false;
    if (apply && m->ends)
        wake(c, m->hold.name);
    if (apply && m->detail)
        audit(c, "agent.mode", m->hold.name, json_incref(m->detail));
    return true;
}

void agent_mode_free(struct agent_mode *m)
{
    json_decref(m->mode);
    json_decref(m->reason);
    json_decref(m->detail);
}

static const char *state_of(const char *mode)
{
    if (strcmp(mode, "OFFLINE") == 0)
        return "offline";
    return strcmp(mode, MODE_RESTART) == 0 ? "restart" : "maintenance";
}

void agent_mode_show(const struct config *cfg, const json_t *holds, json_t *agent)
{
    static const struct {
        const char *field, *as;
    } parts[] = {{"mode", "mode"}, {"by", "mode_by"}, {"at", "mode_at"}, {"until", "mode_until"}};
    const json_t *name = json_object_get(agent, "name");
    const json_t *hold = json_object_getn(holds, json_string_value(name), json_string_length(name));
    const char *mode = json_string_value(json_object_get(hold, "mode"));

    if (!cfg->agent_silent || cfg->compat == COMPAT_REFERENCE)
        json_object_del(agent, "silent");
    if (!mode)
        return;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        json_t *value = json_object_get(hold, parts[i].field);
        if (json_is_string(value))
            json_object_set(agent, parts[i].as, value);
    }
    json_object_set_new(agent, "state", json_string(state_of(mode)));
    json_t *reason = json_object_get(hold, "reason");
    json_object_set(agent, "comment", reason ? reason : json_object_get(agent, "comment"));
}
