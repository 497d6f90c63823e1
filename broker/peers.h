/* The peers of one side of a broker by identity, and the list of ready workers. */
#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H

#include "common/bus.h"
#include "common/hash.h"

#include <stdbool.h>

#define PEER_IDENTITY_MAX 255 /* limit of ZeroMQ */
#define PEERS_MAX         4096

struct work;

enum peer_state {
    PEER_ALONE,  /* frontend, or worker before READY on this connection; then PEER_READY */
    PEER_READY,  /* worker with room for a bundle, in the ready list; then PEER_BUSY */
    PEER_BUSY,   /* worker without room, in the busy list; PEER_READY after enough answers */
    PEER_LEAVING /* worker after BYE: gets no requests, but may answer */
};

struct peer {
    char identity[PEER_IDENTITY_MAX];
    size_t identity_len;
    enum peer_state state;
    bool gone; /* removed; freed by peers_reap */
    enum service service;
    struct bus_ops ops; /* worker: the operations that it knows */
    size_t window;      /* worker: limit of requests in hand; 0: one bundle */
    struct work *hand;  /* worker: requests in hand, oldest first */
    size_t hand_len;
    size_t writes;            /* worker: requests in hand that may write */
    bool one_writer;          /* worker: its store takes one writer at a time */
    int64_t began_us;         /* worker: when it got the last bundle */
    struct work *sent;        /* frontend: its requests */
    struct peer *prev, *next; /* in peers.ready, .busy or .gone */
    UT_hash_handle hh;
};

struct peers {
    struct peer *by_identity;
    size_t len;
    size_t workers[SERVICE_COUNT_]; /* ready or busy */
    /* Last in, first out: caches stay warm, and light load wakes fewer processes. Workers with
     * a window take turns. */
    struct peer *ready[SERVICE_COUNT_];
    struct peer *busy[SERVICE_COUNT_];
    struct peer *gone;
    bool changed[SERVICE_COUNT_]; /* workers came or went since the last peers_known */
};

/* The peer of an identity; NULL: unknown. */
struct peer *peers_find(const struct peers *p, const void *identity, size_t len);

/* Adds an unknown peer; NULL: there are PEERS_MAX, or the identity's length is invalid. */
struct peer *peers_add(struct peers *p, const void *identity, size_t len);

/* Makes a worker with nothing in hand ready, with the fields of its READY. */
void peers_join(struct peers *p, struct peer *peer, const struct bus_header *ready);

/* The operations that all workers of a service know, and those that some know; false: no workers.
 * O(peers); resets p->changed. */
bool peers_known(struct peers *p, enum service service, struct bus_ops *ret_all,
                 struct bus_ops *ret_some);

/* Gives the worker no more requests; `state` is PEER_ALONE or PEER_LEAVING. */
void peers_leave(struct peers *p, struct peer *peer, enum peer_state state);

/* Makes the first ready worker busy and returns it; NULL: none. */
struct peer *peers_take_ready(struct peers *p, enum service service);

/* Makes this ready worker busy. */
void peers_take(struct peers *p, struct peer *peer);

/* How many more requests a worker may have in hand, at most BUS_BUNDLE_MAX. */
size_t peer_room(const struct peer *peer);

/* Makes a busy worker that has room ready; no effect in other states. */
void peers_put_ready(struct peers *p, struct peer *peer);

/* Removes a peer; the caller takes care of its requests. The struct stays valid, with `gone` set,
 * until peers_reap: the caller may be handling its message. */
void peers_remove(struct peers *p, struct peer *peer);

/* Frees the removed peers. */
void peers_reap(struct peers *p);

/* Removes and frees all peers. */
void peers_free(struct peers *p);

#define PEER_NAME_SIZE 65
/* The identity for a log line: its printable characters, cut to the size. Returns `out`. */
const char *peer_name(const struct peer *peer, char out[PEER_NAME_SIZE]);

#endif
