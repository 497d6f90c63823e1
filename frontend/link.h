/* The frontend's side of the bus: sends requests to brokers and finds their replies
 * (docs/protocol.md).
 *
 * Requests go round the brokers that are alive; those of one key all go to the same one, whichever
 * frontend has them, so that they meet. Those of a broker that died are sent again, with the same
 * id, to another or to its successor. While no broker is there, they wait. */
#ifndef FRONTEND_LINK_H
#define FRONTEND_LINK_H

#include "common/bus.h"
#include "common/config.h"
#include "common/envelope.h"
#include "common/hash.h"

#include <event2/event.h>

struct link;
struct link_request;

/* Called once with the result of a request, which the link has dropped by then. ERR_OK: the reply,
 * valid during the call; ERR_FULL; ERR_NO_BROKER: never sent; ERR_TIMEOUT: no answer in time, it
 * may have run; ERR_INTERNAL. */
typedef void link_done_fn(struct link_request *r, enum err e, const struct reply *reply);

/* Part of the caller's struct; must live until `done`. The caller sets the first part. */
struct link_request {
    uint8_t id[BUS_ID_SIZE];
    enum service service;
    char key[BUS_KEY_MAX];
    size_t key_len;    /* 0: no key */
    uint64_t origin;   /* whose it is, and */
    uint32_t subject;  /* what it is about (subject.h); 0: the broker is not told */
    zmq_msg_t payload; /* the request envelope; taken by link_send */
    int64_t timeout_ms;
    link_done_fn *done;

    int64_t deadline; /* ms, monotonic */
    uint32_t attempt;
    int broker;                       /* that has it; -1: none */
    struct link_request *prev, *next; /* in the order in which they came */
    UT_hash_handle hh;
};

/* Called when a job waits in the queue of this key (see struct link_request); s NULL: such calls
 * may have been missed. */
typedef void link_wake_fn(void *arg, struct text key, bool any);

/* Sets who hears it. */
void link_on_wake(struct link *l, link_wake_fn *wake, void *arg);

/* Names the brokers in metrics; before metrics_share. */
void link_name_metrics(void);

/* Connects to the brokers in the background. NULL (logged): the bus setting is wrong. */
struct link *link_new(struct event_base *base, const struct config *cfg);

/* Sends a request. `done` is called later, never from within. */
void link_send(struct link *l, struct link_request *r);

/* Number of requests without an answer. */
size_t link_pending(const struct link *l);

/* True when a broker is alive. */
bool link_is_up(const struct link *l);

/* Drops all requests without calling `done`, and closes. `l` may be NULL. */
void link_free(struct link *l);

#endif
