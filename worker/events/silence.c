#include "worker/events/silence.h"

#include "common/log.h"
#include "common/op.h"
#include "worker/auth/authorize.h"
#include "worker/events/lost_jobs.h"
#include "worker/events/server_events.h"
#include "worker/http/cookie.h"

#include <stdio.h>
#include <string.h>

/* Parts of --agent-silent: between two notes of an agent in the store; until notes are stored. */
enum { NOTE_PART = 3, STORE_PART = 12 };

#define NOTES_MAX 1024 /* more agents than that are noted with their next calls */

int64_t silence_ms(const struct config *cfg)
{
    return cfg->agent_silent * 1000 + cfg->agent_silent * 1000 / NOTE_PART;
}

/* ---- notes of this process ---- */

static struct notes {
    char names[NOTES_MAX][NAME_BYTES_MAX + 1];
    size_t len;
    int64_t first_ms; /* of the oldest; monotonic */
} notes;

/* Agents that were noted lately, by hash; one that collides replaces the older one. */
enum { LATELY = 8192 };
static struct lately {
    uint64_t hash;
    int64_t until_ms; /* monotonic */
} lately[LATELY];

static void note(struct text name, int64_t now_ms, int64_t pause_ms)
{
    uint64_t hash = fnv_add_text(FNV_START, name);
    struct lately *at = &lately[hash % LATELY];

    if ((at->hash == hash && now_ms < at->until_ms) || notes.len == NOTES_MAX || !name.len ||
        name.len > NAME_BYTES_MAX || memchr(name.s, '\0', name.len))
        return;
    *at = (struct lately){hash, now_ms + pause_ms};
    if (!notes.len)
        notes.first_ms = now_ms;
    memcpy(notes.names[notes.len], name.s, name.len);
    notes.names[notes.len++][name.len] = '\0';
}

/* The agent that calls: of its posts about itself that of the path, else that of its cookie. False:
 * a user calls, or nobody knows who. */
static bool agent_of(const struct call *c, struct buf *cookie, struct text *ret)
{
    enum op op = route_op(c->route);
    struct text header = c->request->headers[HDR_COOKIE];

    if (c->caller.has_token && c->caller.role != ROLE_AGENT)
        return false;
    if (op == OP_AGENT_PUT || op == OP_PROVISION_ADD) {
        *ret = c->request->params[0];
        return true;
    }
    if (!header.s || !cookie_get(header, "agent_name", cookie))
        return false;
    *ret = (struct text){cookie->data, cookie->len};
    return c->cfg->agent_identity == AGENT_IDENTITY_ANY ||
           (c->caller.has_token && authorize_speaks_for(c->caller.permissions, *ret));
}

void agents_heard(const struct call *calls, size_t n)
{
    int64_t now_ms = clock_mono_ms();

    for (size_t i = 0; i < n; i++) {
        const struct call *c = &calls[i];
        struct buf cookie = BUF_INIT(NAME_BYTES_MAX);
        struct text name;
        if (c->cfg->agent_silent && (c->reply.status || c->later) && c->reply.status < 400 &&
            agent_of(c, &cookie, &name))
            note(name, now_ms, c->cfg->agent_silent * 1000 / NOTE_PART);
        buf_free(&cookie);
    }
}

/* ---- what is told ---- */

static void tell(const struct config *cfg, struct store *s, const char *name, const char *job_id,
                 bool silent)
{
    char agent[SHOWN_SIZE], detail[SHOWN_SIZE + 64];

    if (silent)
        snprintf(detail, sizeof detail, "agent %s was not heard of for %lld s",
                 lost_jobs_shown(name, agent), (long long)cfg->agent_silent);
    else
        snprintf(detail, sizeof detail, "agent %s is heard of again", lost_jobs_shown(name, agent));
    if (!*job_id) {
        log_info("%s, it has no job%s", detail, silent ? "; see whether it runs" : "");
        return;
    }
    log_warn("%s, it has job %s%s", detail, job_id, silent ? "; see whether it runs" : "");
    server_events_tell(cfg, s,
                       &(struct server_event){.job_id = job_id,
                                              .agent = agent,
                                              .event = silent ? "agent_silent" : "agent_heard",
                                              .detail = detail});
}

void agents_heard_store(const struct config *cfg, struct store *s)
{
    static struct agent_heard agents[NOTES_MAX];
    int64_t pause_ms = cfg->agent_silent * 1000 / NOTE_PART;
    size_t n = notes.len;

    if (!n || clock_mono_ms() - notes.first_ms < cfg->agent_silent * 1000 / STORE_PART)
        return;
    for (size_t i = 0; i < n; i++)
        agents[i] = (struct agent_heard){.name = {notes.names[i], strlen(notes.names[i])}};
    enum err e = store_agents_heard(s, agents, n, store_now_ms(s) - pause_ms);
    for (size_t i = 0; i < n; i++)
        if (agents[i].was_silent)
            tell(cfg, s, notes.names[i], agents[i].job_id, false);
    if (e)
        notes.first_ms = clock_mono_ms(); /* logged; try again later */
    else
        notes.len = 0;
}

enum err silence_sweep(const struct config *cfg, struct store *s, struct sweep *sweep)
{
    struct agent_silent agents[SWEEP_MAX];
    size_t n = 0;
    enum err e = store_agents_silent(s, sweep->now_ms - silence_ms(cfg), agents, &n);

    for (size_t i = 0; !e && i < n; i++)
        tell(cfg, s, agents[i].name, agents[i].job_id, true);
    sweep->done += n;
    sweep->more = !e && n == SWEEP_MAX;
    return e;
}
