#include "worker/webhook/receivers.h"

#include "common/hash.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct receiver {
    char *name;
    size_t active;
    unsigned faults; /* in a row */
    int64_t pause_ms;
    int64_t closed_until;
    int64_t used;
    struct outcome last;
    size_t promised;
    struct turn *waiting;
    struct receivers *all;
    UT_hash_handle hh;
};

struct receivers {
    size_t parallel;
    size_t waiting; /* turns at all receivers */
    struct receiver *by_name;
};

struct receivers *receivers_new(size_t parallel)
{
    struct receivers *all = mem_alloc(sizeof *all);

    all->parallel = parallel;
    return all;
}

static void forget(struct receivers *all, struct receiver *r)
{
    HASH_DEL(all->by_name, r);
    free(r->name);
    free(r);
}

void receivers_free(struct receivers *all)
{
    struct receiver *r, *next;

    if (!all)
        return;
    HASH_ITER (hh, all->by_name, r, next)
        forget(all, r);
    free(all);
}

static struct receiver *find(struct receivers *all, const char *name)
{
    struct receiver *r;

    HASH_FIND_STR(all->by_name, name, r);
    return r;
}

/* A receiver that was closed for faults gets one event at a time until one succeeds. */
static size_t room(const struct receiver *r, size_t parallel)
{
    return r->faults >= BREAKER_FAULTS ? 1 : parallel;
}

static bool is_open(const struct receiver *r, int64_t now)
{
    return now >= r->closed_until && (r->faults < BREAKER_FAULTS || !r->active);
}

/* Names from receivers_closed() stay valid: those receivers are not idle, or were closed. */
static void make_room(struct receivers *all)
{
    struct receiver *r, *next;

    if (HASH_COUNT(all->by_name) < RECEIVERS_MAX)
        return;
    HASH_ITER (hh, all->by_name, r, next)
        if (!r->active && !r->waiting && !r->promised && !r->closed_until) {
            forget(all, r);
            return;
        }
}

struct receiver *receivers_get(struct receivers *all, const char *name, int64_t now)
{
    struct receiver *r = find(all, name);

    if (!r) {
        make_room(all);
        r = mem_alloc(sizeof *r);
        r->all = all;
        r->name = mem_strdup(name);
        HASH_ADD_KEYPTR(hh, all->by_name, r->name, strlen(r->name), r);
    }
    r->used = now;
    return r;
}

enum admission receiver_admit(struct receiver *r, int64_t now)
{
    if (!is_open(r, now))
        return ADMIT_CLOSED;
    if (r->waiting || r->active >= room(r, r->all->parallel))
        return ADMIT_WAIT;
    r->active++;
    return ADMIT;
}

void receiver_wait(struct receiver *r, struct turn *t, int64_t now)
{
    t->since = now;
    DL_APPEND(r->waiting, t);
    r->all->waiting++;
}

bool receivers_waiting(const struct receivers *all)
{
    return all->waiting > 0;
}

struct turn *receiver_next(struct receiver *r, int64_t now, int64_t wait_ms,
                           enum admission *ret_admission)
{
    struct turn *t = r->waiting;
    bool open = is_open(r, now), admit = open && r->active < room(r, r->all->parallel);

    if (!t || (open && !admit && now - t->since <= wait_ms))
        return NULL;
    DL_DELETE(r->waiting, t);
    r->all->waiting--;
    r->active += admit;
    *ret_admission = admit ? ADMIT : ADMIT_CLOSED;
    return t;
}

struct receiver *receivers_next_waiting(struct receivers *all, struct receiver *after)
{
    struct receiver *r = after ? after->hh.next : all->by_name;

    if (!all->waiting)
        return NULL;
    while (r && !r->waiting)
        r = r->hh.next;
    return r;
}

void receiver_done(struct receiver *r, const struct outcome *o, int64_t now)
{
    r->active--;
    r->used = now;
    r->last = *o;
    if (fault_rows[o->fault].away) {
        if (now < r->closed_until) /* a try from before the receiver was closed */
            return;
        if (++r->faults < BREAKER_FAULTS)
            return;
        r->pause_ms = r->faults == BREAKER_FAULTS ? BREAKER_PAUSE_MS : 2 * r->pause_ms;
        if (r->pause_ms > BREAKER_PAUSE_MAX_MS)
            r->pause_ms = BREAKER_PAUSE_MAX_MS;
        r->closed_until = now + r->pause_ms;
        return;
    }
    r->faults = 0;
    if (o->retry_after_ms && now + o->retry_after_ms > r->closed_until)
        r->closed_until = now + o->retry_after_ms;
}

void receiver_undone(struct receiver *r)
{
    r->active--;
}

int64_t receiver_closed_until(const struct receiver *r)
{
    return r->closed_until;
}

const struct outcome *receiver_last(const struct receiver *r)
{
    return &r->last;
}

enum presence receivers_presence(struct receivers *all, const char *name, int64_t now)
{
    const struct receiver *r = find(all, name);

    if (!r)
        return PRESENT;
    if ((r->faults >= BREAKER_FAULTS && !is_open(r, now)) || r->last.fault == FAULT_TIMEOUT ||
        r->last.fault == FAULT_CONNECTING || r->last.fault == FAULT_RESOLVE)
        return AWAY;
    return fault_rows[r->last.fault].away || r->last.fault == FAULT_BUSY ? DOUBTFUL : PRESENT;
}

static bool has_room(const struct receivers *all, const struct receiver *r, int64_t now)
{
    return is_open(r, now) && !r->waiting && r->active + r->promised < room(r, all->parallel);
}

bool receivers_promise(struct receivers *all, const char *name, int64_t now)
{
    struct receiver *r = receivers_get(all, name, now);

    if (!has_room(all, r, now))
        return false;
    r->promised++;
    return true;
}

void receivers_promised(struct receivers *all)
{
    struct receiver *r, *next;

    HASH_ITER (hh, all->by_name, r, next)
        r->promised = 0;
}

size_t receivers_closed(const struct receivers *all, int64_t now, const char *names[], size_t max)
{
    struct receiver *r, *next;
    size_t n = 0;

    HASH_ITER (hh, all->by_name, r, next)
        if (n < max && !has_room(all, r, now))
            names[n++] = r->name;
    return n;
}

void receivers_rest(struct receivers *all, int64_t now)
{
    struct receiver *r, *next;

    HASH_ITER (hh, all->by_name, r, next)
        if (!r->active && !r->waiting && now - r->used > RECEIVERS_REST_MS &&
            now >= r->closed_until)
            forget(all, r);
}
