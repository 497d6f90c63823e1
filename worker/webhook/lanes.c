#include "common/clock.h"
#include "worker/webhook/dispatcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct lane *lane_find(struct dispatcher *d, const char *id)
{
    struct lane *l;

    HASH_FIND_STR(d->lanes, id, l);
    return l;
}

struct lane *lane_get(struct dispatcher *d, const char *id, const char *receiver)
{
    struct lane *l = lane_find(d, id);

    if (l)
        return l;
    l = mem_alloc(sizeof *l);
    l->id = mem_strdup(id);
    snprintf(l->receiver, sizeof l->receiver, "%s", receiver);
    HASH_ADD_KEYPTR(hh, d->lanes, l->id, strlen(l->id), l);
    return l;
}

void lane_rest(struct dispatcher *d, struct lane *l)
{
    if (l->attempt || l->posts)
        return;
    HASH_DEL(d->lanes, l);
    free(l->id);
    free(l);
}

void lanes_free(struct dispatcher *d)
{
    struct lane *l, *next;
    struct post *p, *next_post;

    HASH_ITER (hh, d->lanes, l, next) {
        if (l->attempt)
            attempt_free(l->attempt);
        DL_FOREACH_SAFE(l->posts, p, next_post)
        free(p);
        HASH_DEL(d->lanes, l);
        free(l->id);
        free(l);
    }
    d->posts = NULL;
    d->settled = NULL;
}

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
    int64_t now = clock_wall_us() / 1000;
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
