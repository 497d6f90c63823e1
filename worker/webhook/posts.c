#include "worker/webhook/posts.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/op.h"
#include "worker/webhook/answer.h"
#include "worker/webhook/attempts.h"
#include "worker/webhook/lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    LOOK_FIRST_MS = 20, /* pause before the first look; it doubles each time */
    LOOK_MAX_MS = 320,
    MARGIN_MS = 250, /* more than a try takes, so that its end is seen */
    BRIEF_MS = 250   /* how long a post waits where the receiver may be away */
};

/* ---- answers ---- */

static void post_free(struct dispatcher *d, struct post *p)
{
    DL_DELETE(p->lane->posts, p);
    DL_DELETE2(d->posts, p, all_prev, all_next);
    free(p);
}

/* Sends the answer in `c`, and forgets the post. */
static void post_reply(struct dispatcher *d, struct post *p, struct call *c,
                       enum outbox_state state)
{
    answer_state(c, p->event_id, state);
    bus_client_reply(&d->link, p->broker, p->request_id, route_name(route_of(OP_JOB_EVENTS)),
                     &c->reply, 0, false);
    call_done(c);
    post_free(d, p);
}

static void post_answer(struct dispatcher *d, struct post *p, const struct outcome *o,
                        struct text answer, enum outbox_state state, bool tried)
{
    struct call c = {.cfg = d->cfg};

    answer_outcome(&c, o, answer, tried);
    post_reply(d, p, &c, state);
}

static enum outbox_state state_after(const struct attempt *a)
{
    return a->verdict == OUTBOX_DONE      ? OUTBOX_DELIVERED
           : a->verdict == OUTBOX_GIVE_UP ? OUTBOX_DEAD
                                          : OUTBOX_PENDING;
}

void posts_attempt_ended(struct dispatcher *d, struct lane *l, const struct attempt *a)
{
    struct post *p, *next;
    bool stuck = a->verdict == OUTBOX_RETRY || a->verdict == OUTBOX_PUT_BACK;

    /* After RETRY or PUT_BACK the whole lane waits: answer all of its posts now. */
    DL_FOREACH_SAFE(l->posts, p, next)
    if (strcmp(p->event_id, a->event.id) == 0)
        post_answer(d, p, &a->outcome, (struct text){a->answer, a->answer_len}, state_after(a),
                    a->verdict != OUTBOX_PUT_BACK);
    else if (stuck)
        post_answer(d, p, &a->outcome, (struct text){a->answer, a->answer_len}, OUTBOX_PENDING,
                    false);
}

/* Answers from the store if the event is settled there; false: it is not. */
static bool answer_from_store(struct dispatcher *d, struct post *p)
{
    struct store *s = dispatcher_store(d);
    struct outbox_look look;

    if (!s || store_outbox_look(s, p->event_id, &look) || look.state == OUTBOX_PENDING)
        return false;
    struct outcome o = {.status = look.status};
    if (!o.status)
        o.fault = FAULT_REFUSED;
    post_answer(d, p, &o, (struct text){look.answer, look.answer_len}, look.state, true);
    return true;
}

/* ---- time ---- */

/* Answers a post whose time is over: from the store, else as a timeout. */
static void post_expire(struct dispatcher *d, struct post *p)
{
    const struct outcome late = {.fault = FAULT_TIMEOUT};

    if (!answer_from_store(d, p))
        post_answer(d, p, &late, (struct text){"", 0}, OUTBOX_PENDING, !p->brief);
}

/* Looks for the outcome of a post whose lane has no attempt here: another process has the lane, or
 * died with it. If the event is still pending, tries to claim it. */
static void post_look(struct dispatcher *d, struct post *p, int64_t now)
{
    struct lane *l = p->lane;

    p->look_at = now + p->pause;
    p->pause = p->pause * 2 < LOOK_MAX_MS ? p->pause * 2 : LOOK_MAX_MS;
    if (!answer_from_store(d, p))
        lane_claim(d, l);
}

void posts_turn(struct dispatcher *d)
{
    struct post *p, *next;
    int64_t now = clock_mono_ms();

    for (p = d->posts; p; p = next) {
        struct lane *l = p->lane;
        next = p->all_next;
        if (now >= p->until)
            post_expire(d, p);
        else if (!l->attempt && now >= p->look_at)
            post_look(d, p, now);
        lane_rest(d, l);
    }
}

int64_t posts_due(const struct dispatcher *d, int64_t most)
{
    int64_t now = clock_mono_ms();

    for (const struct post *p = d->posts; p; p = p->all_next) {
        int64_t at = p->lane->attempt || p->until < p->look_at ? p->until : p->look_at;
        if (at - now < most)
            most = at > now ? at - now : 0;
    }
    return most;
}

/* ---- posts that come ---- */

/* The claimed event as the store would return it. */
static struct outbox_event event_of(struct event_post *e)
{
    struct outbox_event ev = {.lane = mem_strdup(e->lane),
                              .job_id = e->job_id,
                              .receiver = mem_strdup(e->receiver),
                              .url = e->url,
                              .body = e->body,
                              .body_len = strlen(e->body),
                              .since_ms = e->add.now_ms,
                              .wake = 1};

    snprintf(ev.id, sizeof ev.id, "%s", e->add.stored_id);
    snprintf(ev.token, sizeof ev.token, "%s", e->token);
    e->job_id = e->url = e->body = NULL;
    return ev;
}

static struct post *post_new(struct dispatcher *d, struct lane *l, const struct event_post *e,
                             const struct bus_item *item, size_t broker)
{
    struct post *p = mem_alloc(sizeof *p);
    int64_t now = clock_mono_ms();

    p->lane = l;
    p->broker = broker;
    memcpy(p->request_id, item->header.id, BUS_ID_SIZE);
    snprintf(p->event_id, sizeof p->event_id, "%s", e->add.stored_id);
    p->until = now + d->cfg->webhook_timeout + MARGIN_MS;
    p->look_at = now + LOOK_FIRST_MS;
    p->pause = LOOK_FIRST_MS;
    DL_APPEND(l->posts, p);
    DL_APPEND2(d->posts, p, all_prev, all_next);
    return p;
}

/* Whether the post gets its answer before its event is tried: an agent posted the event again while
 * it waits, or its receiver is known to be away. */
static bool answers_at_once(struct dispatcher *d, const struct event_post *e)
{
    if (d->cfg->compat == COMPAT_REFERENCE || e->add.state != OUTBOX_PENDING)
        return false;
    return strcmp(e->add.stored_id, e->id) != 0 ||
           receivers_presence(d->receivers, e->receiver, clock_mono_ms()) == AWAY;
}

/* Whether the post gets only BRIEF_MS: the last try at its receiver failed, an earlier event of its
 * lane did, or another process has the lane. Not after the death of the process that had the post,
 * whose claim of the lane has not ended. */
static bool is_brief(struct dispatcher *d, const struct call *c, const struct lane *l)
{
    if (d->cfg->compat == COMPAT_REFERENCE || c->repeat)
        return false;
    return !l->attempt || l->attempt->event.tries > 0 ||
           receivers_presence(d->receivers, l->receiver, clock_mono_ms()) != PRESENT;
}

void post_begin(struct dispatcher *d, struct call *c, const struct bus_item *item, size_t broker)
{
    struct event_post *e = c->later;
    struct lane *l = lane_get(d, e->lane, e->receiver);
    bool tried = !c->reply.status, pending = e->add.state == OUTBOX_PENDING;

    if (tried && answers_at_once(d, e)) {
        answer_state(c, e->add.stored_id, OUTBOX_PENDING);
        answer_queued(c);
    }
    struct post *p = c->reply.status ? NULL : post_new(d, l, e, item, broker);
    if (e->add.claimed) {
        struct outbox_event event = event_of(e);
        attempt_begin(d, &event, clock_mono_ms() + e->add.lease_end_ms - store_now_ms(d->store));
    } else if (tried && pending && !l->attempt) {
        lane_claim(d, l);
    }
    if (p && pending && is_brief(d, c, l)) {
        p->brief = true;
        p->until = clock_mono_ms() + BRIEF_MS;
    } else if (p && !pending) {
        answer_from_store(d, p);
    }
    lane_rest(d, l);
}
