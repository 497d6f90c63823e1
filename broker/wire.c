#include "broker/wire.h"

#include "common/bus_key.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Locks a broker number of a folder until this process ends. Two brokers of one number would lose
 * requests: ZeroMQ binds an ipc:// path in use without an error, and the first of the two to end
 * removes the file. */
static enum err lock_slot(struct wire *w, const char *bus, unsigned slot)
{
    char path[BUS_ENDPOINT_SIZE];

    if (strncmp(bus, "tcp://", 6) == 0)
        return ERR_OK; /* no lock needed: binding a port twice fails */
    snprintf(path, sizeof path, "%s/broker-%u.lock", bus, slot);
    w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->lock_fd < 0) {
        log_error("cannot use %s: %s; make the folder of --bus and let this user write there", path,
                  strerror(errno));
        return ERR_INVALID;
    }
    if (flock(w->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        log_error("another broker serves number %u of the bus in %s; end it, or give this one "
                  "another --bus",
                  slot, bus);
        return ERR_UNAVAILABLE;
    }
    return ERR_OK;
}

enum err wire_open(struct wire *w, const char *bus, unsigned slot)
{
    char endpoints[2][BUS_ENDPOINT_SIZE];

    *w = (struct wire){.lock_fd = -1};
    for (int side = BUS_FRONTENDS; side <= BUS_WORKERS; side++)
        if (bus_endpoint(bus, slot, (enum bus_side)side, endpoints[side])) {
            log_error("cannot serve --bus %s as broker number %u; use a folder with a short path "
                      "or tcp://HOST:PORT",
                      bus, slot);
            return ERR_INVALID;
        }
    enum err e = lock_slot(w, bus, slot);
    if (e)
        return e;
    w->ctx = zmq_ctx_new();
    if (w->ctx && bus_key_applies(endpoints[BUS_WORKERS]) && !(w->guard = bus_key_guard(w->ctx))) {
        log_error("cannot check the keys of the bus: %s; check the limits of memory and open files",
                  zmq_strerror(errno));
        return ERR_UNAVAILABLE;
    }
    for (int side = BUS_FRONTENDS; side <= BUS_WORKERS; side++) {
        w->sockets[side] = w->ctx ? bus_bind(w->ctx, endpoints[side], (enum bus_side)side) : NULL;
        if (w->sockets[side])
            continue;
        log_error("cannot serve the bus at %s: %s; check --bus, and that nothing else uses it",
                  endpoints[side], zmq_strerror(errno));
        return ERR_UNAVAILABLE;
    }
    log_info("serving frontends at %s, workers at %s", endpoints[BUS_FRONTENDS],
             endpoints[BUS_WORKERS]);
    return ERR_OK;
}

void wire_close(struct wire *w, int linger_ms)
{
    for (int side = BUS_FRONTENDS; side <= BUS_WORKERS; side++)
        if (w->sockets[side]) {
            zmq_setsockopt(w->sockets[side], ZMQ_LINGER, &linger_ms, sizeof linger_ms);
            zmq_close(w->sockets[side]);
        }
    if (w->guard)
        zmq_close(w->guard);
    if (w->ctx)
        zmq_ctx_term(w->ctx);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
}

enum err wire_begin(struct wire *w, enum bus_side side, const struct peer *peer)
{
    if (zmq_send(w->sockets[side], peer->identity, peer->identity_len,
                 ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        return ERR_OK;
    return errno == EAGAIN ? ERR_FULL : ERR_NOT_FOUND;
}

void wire_part(struct wire *w, enum bus_side side, zmq_msg_t *msg, bool more)
{
    /* ZeroMQ accepts the rest of a message once it accepted the first part. */
    if (zmq_msg_send(msg, w->sockets[side], ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
        zmq_msg_close(msg);
}

enum err wire_control(struct wire *w, enum bus_side side, const struct peer *peer,
                      const struct bus_header *h)
{
    zmq_msg_t head, empty;
    enum err e = wire_begin(w, side, peer);

    if (e)
        return e;
    bus_header_pack(h, &head);
    zmq_msg_init(&empty);
    wire_part(w, side, &head, true);
    wire_part(w, side, &empty, false);
    return ERR_OK;
}

bool wire_receive(struct wire *w, enum bus_side side, zmq_msg_t *msg)
{
    zmq_msg_init(msg);
    return zmq_msg_recv(msg, w->sockets[side], ZMQ_DONTWAIT) >= 0;
}
