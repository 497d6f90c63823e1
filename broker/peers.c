#include "broker/peers.h"

#include "common/mem.h"

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
    peer->refs = 1;
    HASH_ADD_KEYPTR(hh, p->by_identity, peer->identity, (unsigned)len, peer);
    p->len++;
    return peer;
}

static void leave_ready(struct peers *p, struct peer *peer)
{
    if (peer->is_ready)
        DL_DELETE(p->ready[peer->service], peer);
    peer->is_ready = false;
}

void peers_put_ready(struct peers *p, struct peer *peer)
{
    if (peer->is_ready || peer->leaving || !peer->is_worker)
        return;
    DL_PREPEND(p->ready[peer->service], peer);
    peer->is_ready = true;
}

void peers_worker_leaves(struct peers *p, struct peer *peer)
{
    leave_ready(p, peer);
    if (peer->is_worker && !peer->leaving)
        p->workers[peer->service]--;
    peer->leaving = true;
}

void peers_worker_ready(struct peers *p, struct peer *peer, enum service service)
{
    if (peer->is_worker)
        peers_worker_leaves(p, peer);
    peer->is_worker = true;
    peer->leaving = false;
    peer->service = service;
    p->workers[service]++;
    peers_put_ready(p, peer);
}

struct peer *peers_take_ready(struct peers *p, enum service service)
{
    struct peer *peer = p->ready[service];

    if (peer)
        leave_ready(p, peer);
    return peer;
}

void peers_remove(struct peers *p, struct peer *peer)
{
    if (peer->is_worker)
        peers_worker_leaves(p, peer);
    HASH_DEL(p->by_identity, peer);
    p->len--;
    peer->gone = true;
    peer_unref(peer);
}

struct peer *peer_ref(struct peer *peer)
{
    peer->refs++;
    return peer;
}

void peer_unref(struct peer *peer)
{
    if (peer && --peer->refs == 0)
        free(peer);
}
