/* The peers of one side of a broker by identity, and the workers that are ready. */
#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H

#include "common/bus.h"
#include "common/hash.h"

#include <stdbool.h>

#define PEER_IDENTITY_MAX 255 /* limit of ZeroMQ */
#define PEERS_MAX         4096

struct work;

enum peer_state {
    PEER_ALONE,  /* frontend; or worker before its READY on this connection. READY: PEER_READY */
    PEER_READY,  /* worker in the ready list: has room for a bundle. Gets one: PEER_BUSY */
    PEER_BUSY,   /* worker without room. Answers enough: PEER_READY */
    PEER_LEAVING /* worker after BYE: gets no more, its answers still count */
};

struct peer {
    char identity[PEER_IDENTITY_MAX];
    size_t identity_len;
    enum peer_state state;
    bool gone; /* removed; freed by peers_reap */
    enum service service;
    struct bus_ops ops; /* worker: the operations that it knows */
    size_t window;      /* worker: most requests in hand; 0: one bundle */
    struct work *hand;  /* worker: requests in hand, oldest first */
    size_t hand_len;
    struct work *sent;        /* frontend: requests that it waits for */
    struct peer *prev, *next; /* ready list, or the list of those that are gone */
    UT_hash_handle hh;
};

struct peers {
    struct peer *by_identity;
    size_t len;
    size_t workers[SERVICE_COUNT_]; /* ready or busy */
    /* Last in, first out: warm caches, and under light load fewer processes wake up. Workers with
     * a window take turns. */
    struct peer *ready[SERVICE_COUNT_];
    struct peer *gone;
    bool changed[SERVICE_COUNT_]; /* workers came or went since peers_known was asked */
};

/* NULL: unknown. */
struct peer *peers_find(const struct peers *p, const void *identity, size_t len);

/* Adds an unknown peer; NULL when there are PEERS_MAX or the identity's length is not legal. */
struct peer *peers_add(struct peers *p, const void *identity, size_t len);

/* A worker with nothing in hand becomes ready as its READY says. */
void peers_join(struct peers *p, struct peer *peer, const struct bus_header *ready);

/* Which operations all workers of a service know, and which some of them know; false: there is no
 * worker. O(peers); resets p->changed. */
bool peers_known(struct peers *p, enum service service, struct bus_ops *ret_all,
                 struct bus_ops *ret_some);

/* The worker takes no more work; `state` is PEER_ALONE or PEER_LEAVING. */
void peers_leave(struct peers *p, struct peer *peer, enum peer_state state);

/* Takes a ready worker out of the ready list: it is busy. NULL when there is none. */
struct peer *peers_take_ready(struct peers *p, enum service service);

/* Takes this worker, which is ready, out of the ready list: it is busy. */
void peers_take(struct peers *p, struct peer *peer);

/* How many more requests a worker may have in hand, at most BUS_BUNDLE_MAX. */
size_t peer_room(const struct peer *peer);

/* Makes a busy worker that has room ready again; does nothing in other states. */
void peers_put_ready(struct peers *p, struct peer *peer);

/* Removes a peer; its requests are the caller's. The struct stays valid, with `gone` set, until
 * peers_reap: the caller may be in the middle of its message. */
void peers_remove(struct peers *p, struct peer *peer);

/* Frees the peers that were removed. */
void peers_reap(struct peers *p);

/* Removes and frees all peers. */
void peers_free(struct peers *p);

#define PEER_NAME_SIZE 65
/* The identity for a log line: its printable characters, cut to the size. Returns `out`. */
const char *peer_name(const struct peer *peer, char out[PEER_NAME_SIZE]);

#endif
