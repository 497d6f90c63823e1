/* Decodes and checks a request from the bus, so that handlers can trust it. */
#ifndef WORKER_REQUEST_BUS_ITEM_H
#define WORKER_REQUEST_BUS_ITEM_H

#include "common/bus.h"
#include "common/envelope.h"

/* A received request. Texts of `request` point into payload and zone. */
struct bus_item {
    struct bus_header header;
    zmq_msg_t payload;
    msgpack_zone zone;
    struct request request;
};

/* Decodes it->payload for a worker of this service and checks what handlers rely on: a frontend may
 * be of another release or compromised. NULL: usable, free it by bus_item_free. Else the fault
 * (static storage), and the caller closes the payload. */
const char *bus_item_decode(struct bus_item *it, enum service service);

void bus_item_free(struct bus_item *it);
void bus_items_free(struct bus_item *items, size_t n);

#endif
