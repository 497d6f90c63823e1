/* What a worker makes of a payload that came over the bus: a request that handlers can trust. */
#ifndef WORKER_REQUEST_BUS_ITEM_H
#define WORKER_REQUEST_BUS_ITEM_H

#include "common/bus.h"
#include "common/envelope.h"

/* A request as it came. Texts of `request` point into payload and zone. */
struct bus_item {
    struct bus_header header;
    zmq_msg_t payload;
    msgpack_zone zone;
    struct request request;
};

/* Decodes it->payload for a worker of this service. NULL: the item is usable, and bus_item_free
 * is due. Otherwise what is wrong with it (static storage); only the payload is left to close.
 *
 * A frontend may be of another release, or in foreign hands: parameters that a handler counts on
 * are checked here, once. */
const char *bus_item_decode(struct bus_item *it, enum service service);

void bus_item_free(struct bus_item *it);

#endif
