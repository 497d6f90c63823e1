/* A worker's connections to the brokers: joins them, receives requests, sends replies. No call
 * blocks. */
#ifndef WORKER_REQUEST_BUS_CLIENT_H
#define WORKER_REQUEST_BUS_CLIENT_H

#include "common/bus_brokers.h"
#include "common/config.h"
#include "worker/request/bus_item.h"

/* Brokers are numbered by their slots in `bus`, 0 to BROKERS_MAX - 1. */
struct bus_client {
    enum service service;
    uint32_t window; /* most requests in hand, of each broker; 0: one bundle */
    bool one_writer; /* told to the brokers: set it right after bus_client_open */
    struct bus_brokers bus;
    int64_t silence_ms;              /* a broker that is silent for longer counts as dead */
    int64_t trust_ms;                /* what came longer ago may be in the hands of others */
    int64_t looked_ms[BROKERS_MAX];  /* when it was last asked for a message; 0: never */
    int64_t heard_ms[BROKERS_MAX];   /* when it last sent something; 0: never */
    uint64_t instances[BROKERS_MAX]; /* broker process that READY was sent to; 0: none */
    bool joined[BROKERS_MAX];        /* READY was sent over this socket */
    bool broken[BROKERS_MAX];        /* what is unread is too old: bus_client_step drops it */
    unsigned changes[BROKERS_MAX];   /* of the socket: raised when it is opened and closed */
    bool leaving;
    size_t refused; /* since the last warning */
    int64_t next_warning_ms;
};

/* Connects to all brokers, in the background; `role` names the worker there. ERR_INVALID (logged):
 * the setting is wrong. bus_client_close is due in any case. */
enum err bus_client_open(struct bus_client *l, const struct config *cfg, enum service service,
                         uint32_t window, const char *role) MUST_CHECK;

/* Socket of a broker; NULL: there is none of this number now. */
void *bus_client_socket(const struct bus_client *l, size_t broker);

/* Looks after brokers that come and go (bus_brokers.h): between two messages, about every
 * heartbeat. Sockets may change. */
void bus_client_step(struct bus_client *l);

/* Takes one message of a broker; false: there was none. Its requests, *ret_n of them and perhaps 0,
 * become items, which the caller frees by bus_item_free. Answers the broker's greetings, and
 * with 500 the requests that this worker cannot serve. */
bool bus_client_take(struct bus_client *l, size_t broker, struct bus_item items[BUS_BUNDLE_MAX],
                     size_t *ret_n);

/* Sends the reply to the request with this id, which took `took_us` (0: unknown); `more`: another
 * one follows in the same message. One that no message can hold becomes a 500; `route` names the
 * request in the log line. False: the broker is gone, it or another one gives the request out
 * again. */
bool bus_client_reply(struct bus_client *l, size_t broker, const uint8_t id[BUS_ID_SIZE],
                      const char *route, const struct reply *reply, uint32_t took_us, bool more);

/* Number of brokers that are alive. */
size_t bus_client_alive(const struct bus_client *l);

/* Tells the frontends, by this broker, that a job waits in the queue; `any`: which any agent may
 * have. It may get lost. */
void bus_client_wake(struct bus_client *l, size_t broker, struct text queue, bool any);

/* Tells all brokers that no more requests are wanted. */
void bus_client_leave(struct bus_client *l);

/* Drops what was received and not taken, and joins all brokers anew: this process was late
 * (common/late.h). Sockets change. */
void bus_client_rejoin(struct bus_client *l);

/* Closes the connections once what was sent has left, within half a second. */
void bus_client_close(struct bus_client *l);

#endif
