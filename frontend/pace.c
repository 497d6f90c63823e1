#include "frontend/pace.h"

#include "common/clock.h"
#include "frontend/shut.h"

#include <event2/bufferevent.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <utlist.h>

enum {
    TICK_MS = 1000,
    TICK_MAX_MS = 2000 /* a longer time between ticks is this process's own fault */
};

static enum pace_list list_of(enum stage stage)
{
    switch (stage) {
    case STAGE_IDLE:
        return PACE_IDLE;
    case STAGE_OPENING:
    case STAGE_HEAD:
        return PACE_HEAD;
    case STAGE_NEW:
    case STAGE_BODY:
    case STAGE_SERVED:
    case STAGE_ANSWER:
        break;
    }
    return PACE_MOVING;
}

static enum stage stage_of(const struct conn *c)
{
    if (c->opening)
        return STAGE_OPENING;
    if (evbuffer_get_length(bufferevent_get_output(c->bev)))
        return STAGE_ANSWER;
    if (intake_is_busy(&c->intake))
        return STAGE_SERVED;
    if (c->intake.state != INTAKE_HEAD)
        return STAGE_BODY;
    return intake_waiting(&c->intake) ? STAGE_HEAD : STAGE_IDLE;
}

/* ---- stages ---- */

/* Bytes of the answer that the client's kernel has acknowledged. */
static uint64_t taken(const struct conn *c)
{
    int queued = 0;

    if (ioctl(bufferevent_getfd(c->bev), SIOCOUTQ, &queued) != 0 || queued < 0)
        queued = 0;
    return (uint64_t)queued < c->pace.written ? c->pace.written - (uint64_t)queued : 0;
}

static void enter(struct conn *c, enum stage stage)
{
    const struct config *cfg = c->server->cfg;
    struct pace *p = &c->pace;

    p->stage = stage;
    p->since = c->server->paces.now;
    if (stage == STAGE_BODY) {
        p->credit = cfg->min_rate * cfg->rate_grace;
        p->came = 0;
    } else if (stage == STAGE_ANSWER) {
        p->credit = cfg->min_rate * cfg->client_timeout;
        p->taken = taken(c);
    }
}

void pace_look(struct conn *c)
{
    struct paces *all = &c->server->paces;
    enum stage stage = stage_of(c), before = c->pace.stage;

    if (stage == before)
        return;
    enum pace_list from = list_of(before), to = list_of(stage);
    if (before == STAGE_NEW || from != to || to != PACE_MOVING) {
        if (before != STAGE_NEW)
            DL_DELETE2(all->lists[from], c, pace.prev, pace.next);
        DL_APPEND2(all->lists[to], c, pace.prev, pace.next);
    }
    enter(c, stage);
}

void pace_opened(struct conn *c)
{
    c->opening = false;
    if (c->evcon)
        pace_look(c);
}

void pace_leave(struct conn *c)
{
    if (c->pace.stage != STAGE_NEW)
        DL_DELETE2(c->server->paces.lists[list_of(c->pace.stage)], c, pace.prev, pace.next);
    c->pace.stage = STAGE_NEW;
}

struct conn *pace_oldest(struct server *s, enum pace_list list)
{
    return s->paces.lists[list];
}

void pace_on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *conn)
{
    struct conn *c = conn;

    (void)output;
    c->pace.written += info->n_deleted;
}

/* ---- the tick ---- */

/* Closes the connections at the front of a list that are older than `limit` seconds. */
static void sweep(struct server *s, enum pace_list list, int64_t limit, enum shut_reason why)
{
    struct conn *c;

    while ((c = s->paces.lists[list]) && s->paces.now - c->pace.since > limit)
        shut(c, why);
}

/* Records the bytes of the last `passed` seconds; true: the client is too slow. */
static bool lags(struct conn *c, int64_t passed)
{
    const struct config *cfg = c->server->cfg;
    struct pace *p = &c->pace;
    int64_t moved = 0, most = cfg->min_rate * cfg->client_timeout;

    if (p->stage == STAGE_BODY) {
        moved = (int64_t)p->came;
        p->came = 0;
        if (most < cfg->min_rate * cfg->rate_grace)
            most = cfg->min_rate * cfg->rate_grace;
        /* We have paused reading: not the client's fault. */
        if (!(bufferevent_get_enabled(c->bev) & EV_READ))
            return false;
    } else if (p->stage == STAGE_ANSWER) {
        uint64_t now = taken(c);
        moved = now > p->taken ? (int64_t)(now - p->taken) : 0;
        p->taken = now;
    } else {
        return false;
    }
    p->credit += moved - cfg->min_rate * passed;
    if (p->credit > most)
        p->credit = most;
    return p->credit < 0;
}

void pace_tick(struct server *s)
{
    struct paces *all = &s->paces;
    int64_t now = clock_mono_ms(), passed = all->ticked ? now - all->ticked : TICK_MS;
    struct conn *c, *next;

    all->ticked = now;
    passed = passed < TICK_MAX_MS ? (passed + TICK_MS / 2) / TICK_MS : TICK_MAX_MS / TICK_MS;
    all->now += passed;
    sweep(s, PACE_IDLE, s->cfg->client_timeout, SHUT_IDLE);
    sweep(s, PACE_HEAD, s->cfg->head_timeout, SHUT_HEAD);
    DL_FOREACH_SAFE2(all->lists[PACE_MOVING], c, next, pace.next)
    {
        pace_look(c); /* an answer begins or ends */
        if (lags(c, passed))
            shut(c, c->pace.stage == STAGE_BODY ? SHUT_BODY : SHUT_ANSWER);
    }
}
