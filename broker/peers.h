/* The peers of a broker: frontends and workers by their identity, and which workers are ready. */
#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H

#include "broker/queue.h"

#define PEER_IDENTITY_MAX 255 /* limit of ZeroMQ */
#define PEERS_MAX         4096

struct peer {
    char identity[PEER_IDENTITY_MAX];
    size_t identity_len;
    bool gone; /* not reachable any more; kept while requests refer to it */
    unsigned refs;
    bool is_worker; /* it has said READY */
    bool is_ready;  /* stands in the ready list */
    bool leaving;   /* it has said BYE */
    enum service service;
    struct work *hand; /* requests that it has, oldest first */
    struct peer *prev, *next;
    UT_hash_handle hh;
};

struct peers {
    struct peer *by_identity;
    size_t len;
    size_t workers[SERVICE_COUNT_];     /* that take work */
    struct peer *ready[SERVICE_COUNT_]; /* the one that was ready last comes first: its memory is
                                         * warm, and under light load fewer processes wake up */
};

/* NULL when it is not known. */
struct peer *peers_find(const struct peers *p, const void *identity, size_t len);

/* Adds a peer; NULL when there are too many or the identity has no legal length. */
struct peer *peers_add(struct peers *p, const void *identity, size_t len);

/* The worker joins, or joins anew: it is ready. Its hand must be empty. */
void peers_worker_ready(struct peers *p, struct peer *peer, enum service service);

/* It takes no more work. */
void peers_worker_leaves(struct peers *p, struct peer *peer);

/* Takes a ready worker of the service out of the ready list; NULL when there is none. */
struct peer *peers_take_ready(struct peers *p, enum service service);

/* The worker's hand is empty again. */
void peers_put_ready(struct peers *p, struct peer *peer);

/* Removes a peer that is gone; its memory goes with the last reference. Its hand must be empty. */
void peers_remove(struct peers *p, struct peer *peer);

struct peer *peer_ref(struct peer *peer);
void peer_unref(struct peer *peer); /* NULL is fine */

#endif
