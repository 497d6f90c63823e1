/* A peer's sockets to all brokers of its bus, one each.
 *
 * A folder or a numeric address has --brokers of them. Where HOST of tcp://HOST:PORT is a name,
 * each of its addresses has --brokers of them; the name is resolved again every 5 s (1 s while a
 * broker is away), without blocking. A new address gets a socket; an address that the name lost is
 * closed once no broker answers there. IPv6 addresses are ignored where IPv4 ones exist: they are
 * the same hosts. */
#ifndef COMMON_BUS_BROKERS_H
#define COMMON_BUS_BROKERS_H

#include "common/bus.h"
#include "common/config.h"

#include <stdint.h>

struct bus_lookup;

/* Called when sockets are opened and closed. A socket keeps its `slot` for life. */
struct bus_brokers_owner {
    void (*opened)(void *arg, size_t slot);
    void (*closing)(void *arg, size_t slot); /* before the socket is closed */
    bool (*is_alive)(void *arg, size_t slot);
    void *arg;
};

struct bus_brokers {
    struct {
        void *socket; /* NULL: free slot */
        char endpoint[BUS_ENDPOINT_SIZE];
        bool listed; /* the name still has this address */
    } slots[BROKERS_MAX];
    const struct config *cfg;
    enum bus_side side;
    const char *role;
    void *ctx;
    struct bus_brokers_owner owner;
    struct bus_lookup *lookup; /* NULL: no name to resolve */
};

/* Makes the context and the sockets. Waits up to 1 s for a name to resolve; without an answer there
 * are no sockets yet. ERR_INVALID (logged): the setting is wrong. Call bus_brokers_close in any
 * case. */
enum err bus_brokers_open(struct bus_brokers *b, const struct config *cfg, enum bus_side side,
                          const char *role, const struct bus_brokers_owner *owner) MUST_CHECK;

/* Resolves the name when that is due; call it about every heartbeat. May open and close sockets. */
void bus_brokers_step(struct bus_brokers *b, int64_t now_ms);

/* Replaces the sockets of all brokers, or of one slot, by ones with new identities. Drops what
 * was received and not read. What was sent has `linger_ms` to leave. Calls the owner. */
void bus_brokers_renew(struct bus_brokers *b, int linger_ms);
void bus_brokers_renew_one(struct bus_brokers *b, size_t slot, int linger_ms);

/* Closes all sockets without calling the owner; what was sent has `linger_ms` to leave. */
void bus_brokers_close(struct bus_brokers *b, int linger_ms);

#endif
