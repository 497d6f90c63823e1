/* The peers of one side of a broker, by their identity, and which workers are ready. */
#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H

#include "common/bus.h"
#include "common/hash.h"

#include <stdbool.h>

#define PEER_IDENTITY_MAX 255 /* limit of ZeroMQ */
#define PEERS_MAX         4096

struct work;

enum peer_state {
    PEER_ALONE,  /* a frontend, or a worker that has not said READY on this connection */
    PEER_READY,  /* a worker that can take a bundle: it stands in the ready list */
    PEER_BUSY,   /* a worker that has all it can take in hand */
    PEER_LEAVING /* a worker that has said BYE: what it has in hand goes on */
};

struct peer {
    char identity[PEER_IDENTITY_MAX];
    size_t identity_len;
    enum peer_state state;
    bool gone; /* cannot be reached any more */
    enum service service;
    size_t window;     /* worker: requests that it takes at a time; 0: one bundle */
    struct work *hand; /* worker: requests that it has, oldest first */
    size_t hand_len;
    struct work *sent;        /* frontend: requests that it waits for */
    struct peer *prev, *next; /* ready list, or the list of those that are gone */
    UT_hash_handle hh;
};

struct peers {
    struct peer *by_identity;
    size_t len;
    size_t workers[SERVICE_COUNT_]; /* that take work: ready or busy */
    /* The one that became ready last comes first: its memory is warm, and under light load fewer
     * processes wake up. Those with a window take turns. */
    struct peer *ready[SERVICE_COUNT_];
    struct peer *gone;
};

/* NULL when it is not known. */
struct peer *peers_find(const struct peers *p, const void *identity, size_t len);

/* Adds a peer; NULL when there are PEERS_MAX or the identity has no legal length. */
struct peer *peers_add(struct peers *p, const void *identity, size_t len);

/* A peer with empty hands takes work of a service. */
void peers_join(struct peers *p, struct peer *peer, enum service service, size_t window);

/* The worker takes no more work; `state` is PEER_ALONE or PEER_LEAVING. */
void peers_leave(struct peers *p, struct peer *peer, enum peer_state state);

/* Takes a ready worker out of the ready list: it is busy. NULL when there is none. */
struct peer *peers_take_ready(struct peers *p, enum service service);

/* Number of requests that a worker could take now, 0 when it has to answer some first. */
size_t peer_room(const struct peer *peer);

/* A busy worker is ready again if it has room. Nothing happens in other states. */
void peers_put_ready(struct peers *p, struct peer *peer);

/* Forgets a peer that is gone. The caller sees to its requests. The struct stays valid until
 * peers_reap, so that whoever is in the middle of serving it finds `gone` set. */
void peers_remove(struct peers *p, struct peer *peer);

/* Frees the peers that were removed. */
void peers_reap(struct peers *p);

/* Forgets and frees everything. */
void peers_free(struct peers *p);

#define PEER_NAME_SIZE 65
/* The identity for a log line: its printable characters, cut to the size. Returns `out`. */
const char *peer_name(const struct peer *peer, char out[PEER_NAME_SIZE]);

#endif
