/* A peer's sockets to all brokers of its bus, one each.
 *
 * In a folder, or at a numeric address, there are --brokers of them. The host of tcp://HOST:PORT
 * may be a name: then each of its addresses has --brokers of them, and the name is looked up again
 * every few seconds, oftener while a broker is away, without waiting for the answer. A new address
 * gets a socket; one that the name has no longer loses it once no broker answers there. A name of
 * both IPv4 and IPv6 addresses counts for the first kind only: they are the same hosts. */
#ifndef COMMON_BUS_BROKERS_H
#define COMMON_BUS_BROKERS_H

#include "common/bus.h"
#include "common/config.h"

#include <stdint.h>

struct bus_lookup; /* of the name */

/* What the owner does with sockets that come and go. `slot`: their place, kept as long as they
 * live.
 */
struct bus_brokers_owner {
    void (*opened)(void *arg, size_t slot);
    void (*closing)(void *arg, size_t slot); /* the socket still is there */
    bool (*is_alive)(void *arg, size_t slot);
    void *arg;
};

struct bus_brokers {
    struct {
        void *socket; /* NULL: none here */
        char endpoint[BUS_ENDPOINT_SIZE];
        bool listed; /* the name has this address */
    } slots[BROKERS_MAX];
    const struct config *cfg;
    enum bus_side side;
    const char *role;
    void *ctx;
    struct bus_brokers_owner owner;
    struct bus_lookup *lookup; /* NULL: there is no name */
};

/* Makes the context and the sockets. A name gets up to a second to be looked up; without an answer
 * there are no sockets yet. ERR_INVALID (logged): the setting is wrong. bus_brokers_close is due in
 * any case. */
enum err bus_brokers_open(struct bus_brokers *b, const struct config *cfg, enum bus_side side,
                          const char *role, const struct bus_brokers_owner *owner) MUST_CHECK;

/* Looks after the name when it is time; call it about every heartbeat. */
void bus_brokers_step(struct bus_brokers *b, int64_t now_ms);

/* Closes all sockets, which give what they have sent `linger_ms` to leave. The owner is not told.
 */
void bus_brokers_close(struct bus_brokers *b, int linger_ms);

#endif
