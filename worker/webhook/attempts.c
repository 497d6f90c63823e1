#include "worker/webhook/attempts.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "worker/events/receiver.h"
#include "worker/webhook/lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    POLL_MS = 1000,               /* between claims of due lanes */
    CLAIM_MAX = OUTBOX_CLAIM_MAX, /* lanes in one claim */
    SETTLE_MAX = 64,              /* events settled in one call */
    SETTLE_PAUSE_MS = 1000,       /* after a failure */
    CLOSED_MAX = 64,              /* receivers that a claim excludes, at most */
    PUT_BACK_MIN_MS = 500
};
#define BYTES_MAX (64 * MIB) /* of bodies in hand; at the limit, claim no further events */

static uint64_t random_number(void)
{
    uint64_t n;

    random_fill(&n, sizeof n);
    return n;
}

/* ---- the end of an attempt ---- */

void attempt_free(struct attempt *a)
{
    a->d->attempts--;
    a->d->bytes -= a->event.body_len;
    outbox_event_free(&a->event);
    free(a->answer);
    free(a);
}

static void end(struct attempt *a, const struct outcome *o)
{
    const struct tried t = {.tries = a->event.tries + 1,
                            .since_ms = a->event.since_ms,
                            .now_ms = store_now_ms(a->d->store),
                            .random = random_number()};

    a->outcome = *o;
    a->verdict = verdict(a->d->cfg, o, &t, &a->due_ms);
    DL_APPEND(a->d->settled, a);
    metric_add(M_EVENTS_DELIVERED, 0, a->verdict == OUTBOX_DONE);
    if (a->verdict == OUTBOX_DONE)
        metric_time(M_EVENT_SECONDS, 0, (t.now_ms - t.since_ms) * 1000);
    else
        metric_add(M_EVENT_FAULTS, o->fault, 1);
    if (a->verdict == OUTBOX_GIVE_UP)
        metric_add(M_EVENTS_DEAD, o->fault, 1);
}

/* Returns the event to the store without a try, for another claim after the pause. */
static void put_back(struct attempt *a, int64_t pause_ms)
{
    if (pause_ms < PUT_BACK_MIN_MS)
        pause_ms = PUT_BACK_MIN_MS;
    a->verdict = OUTBOX_PUT_BACK;
    a->due_ms = store_now_ms(a->d->store) + pause_ms;
    a->outcome = (struct outcome){.fault = FAULT_TIMEOUT};
    DL_APPEND(a->d->settled, a);
}

/* The breaker of its receiver is open: report the receiver's last fault. */
static void put_back_closed(struct attempt *a)
{
    put_back(a, receiver_closed_until(a->receiver) - clock_mono_ms());
    if (receiver_last(a->receiver)->fault)
        a->outcome = *receiver_last(a->receiver);
}

/* ---- tries ---- */

/* WEBHOOK_PRIVATE_AUTO means refuse here: the launcher has turned it into allow where that is safe.
 */
static enum address_kind furthest(const struct config *cfg, enum receiver_rule rule)
{
    if (rule == RECEIVER_OWN)
        return ADDRESS_SPECIAL;
    return cfg->webhook_private == WEBHOOK_PRIVATE_ALLOW ? ADDRESS_PRIVATE : ADDRESS_PUBLIC;
}

static void launch(struct attempt *a)
{
    const struct outcome forbidden = {.fault = FAULT_FORBIDDEN}, broken = {.fault = FAULT_BROKEN};
    const struct config *cfg = a->d->cfg;
    enum receiver_rule rule = receiver_rule(cfg, a->event.url);
    struct delivery d = {.url = a->event.url,
                         .receiver = a->event.receiver,
                         .id = a->event.id,
                         .try_number = a->event.tries + 1,
                         .body = {a->event.body, a->event.body_len},
                         .with_auth = rule == RECEIVER_OWN || rule == RECEIVER_LISTED,
                         .furthest = furthest(cfg, rule),
                         .follow = cfg->auth == AUTH_OPEN};

    a->began_us = clock_mono_us();
    enum err e = transfer_start(a->d->transfers, &d, a);
    if (!e) {
        metric_add(M_EVENT_TRIES, 0, 1);
        metric_add(M_EVENT_RETRIES, 0, a->event.tries > 0);
        return;
    }
    receiver_undone(a->receiver);
    end(a, e == ERR_INVALID ? &forbidden : &broken);
}

void attempt_done(void *arg, const struct outcome *o, struct text answer)
{
    struct attempt *a = arg;

    a->answer = mem_strndup(answer.s, answer.len);
    a->answer_len = answer.len;
    receiver_done(a->receiver, o, clock_mono_ms());
    metric_time(M_EVENT_TRY_SECONDS, 0, clock_mono_us() - a->began_us);
    if (o->fault)
        log_debug("event %s, try %lld: %s (status %d)", a->event.id, (long long)a->event.tries + 1,
                  fault_rows[o->fault].reason, o->status);
    end(a, o);
}

void attempt_begin(struct dispatcher *d, struct outbox_event *e, int64_t lease_end)
{
    const struct outcome forbidden = {.fault = FAULT_FORBIDDEN};
    struct lane *l = lane_get(d, e->lane, e->receiver);
    int64_t now = clock_mono_ms();

    if (l->attempt) { /* claimed again while tried here: the running try decides */
        outbox_event_free(e);
        return;
    }
    struct attempt *a = mem_alloc(sizeof *a);
    *a = (struct attempt){.d = d, .lane = l, .event = *e, .lease_end = lease_end};
    l->attempt = a;
    d->attempts++;
    d->bytes += e->body_len;
    a->receiver = receivers_get(d->receivers, e->receiver, now);
    if (!receiver_allowed(receiver_rule(d->cfg, e->url))) {
        end(a, &forbidden);
        return;
    }
    enum admission may = d->bytes > BYTES_MAX ? ADMIT_CLOSED : receiver_admit(a->receiver, now);
    if (may == ADMIT)
        launch(a);
    else if (may == ADMIT_WAIT)
        receiver_wait(a->receiver, &a->turn, now);
    else
        put_back_closed(a);
}

static struct attempt *attempt_of(struct turn *t)
{
    return (struct attempt *)(void *)((char *)t - offsetof(struct attempt, turn));
}

/* Starts tries that wait at receivers; those past their longest wait go back to the store. */
static void serve_waiting(struct dispatcher *d, int64_t wait_ms)
{
    int64_t now = clock_mono_ms();
    enum admission may;
    struct turn *t;

    for (struct receiver *r = NULL; (r = receivers_next_waiting(d->receivers, r));)
        while ((t = receiver_next(r, now, wait_ms, &may)))
            if (may == ADMIT)
                launch(attempt_of(t));
            else
                put_back_closed(attempt_of(t));
}

void attempts_turn(struct dispatcher *d)
{
    /* Any longer wait, and the try might outlast the lease. */
    serve_waiting(d, d->cfg->webhook_timeout + 1000);
}

void attempts_put_back(struct dispatcher *d)
{
    serve_waiting(d, -1);
}

/* ---- settling ---- */

static void claim_by(struct dispatcher *d, int64_t at)
{
    if (at < d->claim_at)
        d->claim_at = at;
}

static struct outbox_settle settle_of(const struct attempt *a, int64_t now_ms)
{
    return (struct outbox_settle){.event = &a->event,
                                  .outcome = a->verdict,
                                  .now_ms = now_ms,
                                  .due_ms = a->due_ms,
                                  .reason = fault_rows[a->outcome.fault].reason,
                                  .status = a->outcome.status,
                                  .answer = {a->answer ? a->answer : "", a->answer_len}};
}

/* Answers its posts, once. */
static void tell(struct attempt *a)
{
    if (!a->told)
        a->d->attempt_ended(a->d, a->lane, a);
    a->told = true;
}

/* Frees an attempt that is settled in the store, or whose lease ends anyway. */
static void close_attempt(struct dispatcher *d, struct attempt *a)
{
    struct lane *l = a->lane;
    int64_t now = clock_mono_ms();

    tell(a);
    if (a->verdict == OUTBOX_GIVE_UP &&
        log_admit("event given up", a->event.receiver, strlen(a->event.receiver)))
        log_warn("gave up event %s of job %s to %s after %lld tries: %s (status %d); see the "
                 "dead letters",
                 a->event.id, a->event.job_id, a->event.receiver, (long long)a->event.tries + 1,
                 fault_rows[a->outcome.fault].reason, a->outcome.status);
    if (a->verdict == OUTBOX_RETRY || a->verdict == OUTBOX_PUT_BACK)
        claim_by(d, now + a->due_ms - store_now_ms(d->store));
    if (d->behind)
        claim_by(d, now);
    l->attempt = NULL;
    attempt_free(a);
}

/* The store is away: answer the posts now and settle the events later. */
static void settle_failed(struct dispatcher *d)
{
    struct attempt *a, *next;
    int64_t now = clock_mono_ms();

    d->settle_at = now + SETTLE_PAUSE_MS;
    DL_FOREACH_SAFE(d->settled, a, next)
    {
        tell(a);
        if (now > a->lease_end) { /* the lease ended: another process may have the event */
            struct lane *l = a->lane;
            DL_DELETE(d->settled, a);
            close_attempt(d, a);
            lane_rest(d, l);
        }
    }
}

void attempts_settle(struct dispatcher *d)
{
    struct outbox_settle list[SETTLE_MAX];
    struct attempt *batch[SETTLE_MAX], *a;
    bool due = false;
    size_t n = 0;

    if (!d->settled || clock_mono_ms() < d->settle_at)
        return;
    int64_t now_ms = store_now_ms(d->store); /* it was open when they were claimed */
    DL_FOREACH (d->settled, a) {
        if (n == SETTLE_MAX)
            break;
        batch[n] = a;
        list[n++] = settle_of(a, now_ms);
        /* The receiver has it: should this not be stored any more, it gets it again. A dead letter
         * is told when it is to be found. */
        if (a->verdict != OUTBOX_GIVE_UP)
            tell(a);
    }
    struct store *s = dispatcher_store(d);
    if (!s || store_outbox_settle(s, list, n, &due)) {
        settle_failed(d);
        return;
    }
    if (due)
        claim_by(d, clock_mono_ms());
    for (size_t i = 0; i < n; i++) {
        struct lane *l = batch[i]->lane;
        DL_DELETE(d->settled, batch[i]);
        close_attempt(d, batch[i]);
        if (l->posts) /* of its next events */
            lane_claim(d, l);
        lane_rest(d, l);
    }
}

/* ---- claims ---- */

static bool may_claim(void *arg, const char *receiver)
{
    struct dispatcher *d = arg;

    return receivers_promise(d->receivers, receiver, clock_mono_ms());
}

static void claim(struct dispatcher *d, struct store *s, size_t limit)
{
    const char *closed[CLOSED_MAX];
    struct outbox_event events[CLAIM_MAX];
    char token[OUTBOX_TOKEN_SIZE];
    int64_t now = clock_mono_ms(), now_ms = store_now_ms(s);
    struct outbox_claim c = {.token = token,
                             .now_ms = now_ms,
                             .lease_end_ms = now_ms + EVENT_LEASE_MS(d->cfg),
                             .limit = limit,
                             .exclude = closed,
                             .exclude_len = receivers_closed(d->receivers, now, closed, CLOSED_MAX),
                             .accept = may_claim,
                             .arg = d,
                             .events = events};

    event_token(token);
    receivers_promised(d->receivers);
    enum err e = store_outbox_claim(s, &c);
    receivers_promised(d->receivers);
    if (e) /* logged; the next claim tries again */
        return;
    for (size_t i = 0; i < c.len; i++)
        attempt_begin(d, &events[i], now + EVENT_LEASE_MS(d->cfg));
    d->behind = c.more;
    if (c.more && c.len)
        d->claim_at = now;
}

void attempts_claim(struct dispatcher *d)
{
    int64_t now = clock_mono_ms();
    size_t most = (size_t)d->cfg->webhook_transfers;

    if (now < d->claim_at || d->stopping)
        return;
    d->claim_at = now + POLL_MS;
    struct store *s = dispatcher_store(d);
    size_t room = d->attempts < most && d->bytes < BYTES_MAX ? most - d->attempts : 0;
    d->behind = !room;
    if (s && room)
        claim(d, s, room < CLAIM_MAX ? room : CLAIM_MAX);
}

/* ---- one lane ---- */

static bool any(void *arg, const char *receiver)
{
    (void)arg;
    (void)receiver;
    return true;
}

void lane_claim(struct dispatcher *d, struct lane *l)
{
    struct store *s = dispatcher_store(d);
    struct outbox_event event = {0};
    char token[OUTBOX_TOKEN_SIZE];
    int64_t now = s ? store_now_ms(s) : 0;
    struct outbox_claim c = {.lane = l->id,
                             .token = token,
                             .now_ms = now,
                             .lease_end_ms = now + EVENT_LEASE_MS(d->cfg),
                             .limit = 1,
                             .accept = any,
                             .events = &event};

    event_token(token);
    if (s && !store_outbox_claim(s, &c) && c.len)
        attempt_begin(d, &event, clock_mono_ms() + EVENT_LEASE_MS(d->cfg));
}
