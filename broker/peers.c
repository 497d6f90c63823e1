#include "broker/peers.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct peer *peers_find(const struct peers *p, const void *identity, size_t len)
{
    struct peer *found;

    HASH_FIND(hh, p->by_identity, identity, (unsigned)len, found);
    return found;
}

struct peer *peers_add(struct peers *p, const void *identity, size_t len)
{
    if (len == 0 || len > PEER_IDENTITY_MAX || p->len == PEERS_MAX)
        return NULL;
    struct peer *peer = mem_alloc(sizeof *peer);
    memcpy(peer->identity, identity, len);
    peer->identity_len = len;
    HASH_ADD_KEYPTR(hh, p->by_identity, peer->identity, (unsigned)len, peer);
    p->len++;
    return peer;
}

void peers_leave(struct peers *p, struct peer *peer, enum peer_state state)
{
    if (peer->state == PEER_READY)
        DL_DELETE(p->ready[peer->service], peer);
    else if (peer->state == PEER_BUSY)
        DL_DELETE(p->busy[peer->service], peer);
    if (peer->state == PEER_READY || peer->state == PEER_BUSY) {
        p->workers[peer->service]--;
        p->changed[peer->service] = true;
    }
    peer->state = state;
}

void peers_join(struct peers *p, struct peer *peer, const struct bus_header *ready)
{
    peers_leave(p, peer, PEER_ALONE);
    peer->service = ready->service;
    peer->window = ready->window;
    peer->ops = ready->ops;
    peer->one_writer = ready->one_writer;
    p->workers[peer->service]++;
    p->changed[peer->service] = true;
    peer->state = PEER_BUSY;
    DL_APPEND(p->busy[peer->service], peer);
    peers_put_ready(p, peer);
}

bool peers_known(struct peers *p, enum service service, struct bus_ops *ret_all,
                 struct bus_ops *ret_some)
{
    struct peer *peer, *next;

    memset(ret_all, 0xff, sizeof *ret_all);
    memset(ret_some, 0, sizeof *ret_some);
    p->changed[service] = false;
    HASH_ITER (hh, p->by_identity, peer, next) {
        bool works = peer->state == PEER_READY || peer->state == PEER_BUSY;
        for (size_t i = 0; works && peer->service == service && i < sizeof peer->ops.bits; i++) {
            ret_all->bits[i] &= peer->ops.bits[i];
            ret_some->bits[i] |= peer->ops.bits[i];
        }
    }
    return p->workers[service] > 0;
}

void peers_take(struct peers *p, struct peer *peer)
{
    DL_DELETE(p->ready[peer->service], peer);
    DL_APPEND(p->busy[peer->service], peer);
    peer->state = PEER_BUSY;
}

struct peer *peers_take_ready(struct peers *p, enum service service)
{
    struct peer *peer = p->ready[service];

    if (peer)
        peers_take(p, peer);
    return peer;
}

size_t peer_room(const struct peer *peer)
{
    size_t left = peer->window > peer->hand_len ? peer->window - peer->hand_len : 0;

    if (!peer->window)
        return peer->hand_len ? 0 : BUS_BUNDLE_MAX;
    return left < BUS_BUNDLE_MAX ? left : BUS_BUNDLE_MAX;
}

void peers_put_ready(struct peers *p, struct peer *peer)
{
    if (peer->state != PEER_BUSY || !peer_room(peer))
        return;
    DL_DELETE(p->busy[peer->service], peer);
    if (peer->window)
        DL_APPEND(p->ready[peer->service], peer);
    else
        DL_PREPEND(p->ready[peer->service], peer);
    peer->state = PEER_READY;
}

void peers_remove(struct peers *p, struct peer *peer)
{
    peers_leave(p, peer, PEER_ALONE);
    HASH_DEL(p->by_identity, peer);
    p->len--;
    peer->gone = true;
    DL_APPEND(p->gone, peer);
}

void peers_reap(struct peers *p)
{
    struct peer *peer, *next;

    DL_FOREACH_SAFE(p->gone, peer, next)
    {
        DL_DELETE(p->gone, peer);
        free(peer);
    }
}

void peers_free(struct peers *p)
{
    struct peer *peer, *next;

    HASH_ITER (hh, p->by_identity, peer, next)
        peers_remove(p, peer);
    peers_reap(p);
}

const char *peer_name(const struct peer *peer, char out[PEER_NAME_SIZE])
{
    size_t n = peer->identity_len < PEER_NAME_SIZE ? peer->identity_len : PEER_NAME_SIZE - 1;

    for (size_t i = 0; i < n; i++)
        out[i] = peer->identity[i] > ' ' && peer->identity[i] < 0x7f ? peer->identity[i] : '?';
    out[n] = '\0';
    return out;
}
