#include "frontend/place.h"

#include "common/hash.h"
#include "common/mem.h"
#include "frontend/pace.h"
#include "frontend/shut.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    BATCH = 32, /* connections of one address closed at a time */
    FRESH_S = 2
};

struct place {
    struct address_key key;
    size_t ordinary, lasting;
    struct conn *conns; /* oldest first */
    UT_hash_handle hh;
};

void place_open(struct server *s, size_t descriptors)
{
    s->places_max = (size_t)s->cfg->max_connections;
    if (descriptors < s->places_max)
        s->places_max = descriptors;
    s->places_address = (size_t)s->cfg->max_connections_per_address;
    if (!s->places_address)
        s->places_address = (s->places_max + 1) / 2;
}

static bool is_local(const struct address_key *key)
{
    static const struct address_key none;

    return memcmp(key, &none, sizeof none) == 0;
}

static struct place *place_of(struct server *s, const struct address_key *key)
{
    struct place *p;

    HASH_FIND(hh, s->places, key, sizeof *key, p);
    if (p)
        return p;
    p = mem_alloc(sizeof *p);
    p->key = *key;
    HASH_ADD(hh, s->places, key, sizeof p->key, p);
    return p;
}

static size_t *count_of(struct conn *c)
{
    return c->placed.lasts ? &c->placed.place->lasting : &c->placed.place->ordinary;
}

bool place_take(struct conn *c, const struct address_key *key)
{
    struct place *p = place_of(c->server, key);

    if (p == c->placed.place)
        return true;
    bool lasts = c->placed.lasts;
    p->ordinary++; /* now: place_leave frees an address without connections */
    place_leave(c);
    c->placed.place = p;
    DL_APPEND2(p->conns, c, placed.prev, placed.next);
    bool fits = is_local(key) || p->ordinary <= c->server->places_address;
    place_lasts(c, lasts);
    return fits;
}

void place_leave(struct conn *c)
{
    struct place *p = c->placed.place;

    if (!p)
        return;
    --*count_of(c);
    DL_DELETE2(p->conns, c, placed.prev, placed.next);
    c->placed = (struct placed){0};
    if (p->ordinary || p->lasting)
        return;
    HASH_DEL(c->server->places, p);
    free(p);
}

void place_lasts(struct conn *c, bool lasts)
{
    struct place *p = c->placed.place;

    if (!p || lasts == c->placed.lasts || (lasts && p->lasting >= c->server->places_address))
        return;
    --*count_of(c);
    c->placed.lasts = lasts;
    ++*count_of(c);
}

/* ---- room ---- */

static size_t size(const struct place *p)
{
    return p->ordinary + p->lasting;
}

static struct place *largest(struct server *s)
{
    struct place *p, *next, *most = NULL;

    HASH_ITER (hh, s->places, p, next)
        if (!most || size(p) > size(most))
            most = p;
    return most;
}

/* Closes some of an address's long connections, the oldest first. False: it has none. */
static bool thin_out(struct place *p)
{
    struct conn *c, *next;
    size_t over = size(p) / 2, closed = 0; /* keep the address alive */

    DL_FOREACH_SAFE2(p->conns, c, next, placed.next)
    {
        if (closed == BATCH || closed == over)
            break;
        if (c->pace.stage == STAGE_SERVED && !c->placed.lasts)
            continue; /* it is over soon */
        shut(c, SHUT_ROOM);
        closed++;
    }
    return closed > 0;
}

bool place_make_room(struct conn *c)
{
    struct server *s = c->server;

    while (s->conns_len > s->places_max) {
        struct conn *idle = pace_oldest(s, PACE_IDLE), *other = idle;
        /* Spare new connections: they are about to send a request. */
        if (!idle || s->paces.now - idle->pace.since < FRESH_S)
            other = pace_oldest(s, PACE_HEAD);
        if (!other || other == c)
            other = idle;
        if (other && other != c) {
            shut(other, SHUT_ROOM);
            continue;
        }
        struct place *most = largest(s);
        if (!most || size(most) <= size(c->placed.place) + 1 || !thin_out(most))
            return false;
    }
    return true;
}
