#include "common/bus.h"
#include "common/mem.h"

#include "common/bus_key.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/packed.h"
#include "common/random.h"

#include <errno.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* At least; READY has up to two more. Others, of later releases, are skipped. */
    HEADER_FIELDS = 10,
    FIELD_OPS = HEADER_FIELDS,
    FIELD_ONE_WRITER,
    READY_FIELDS,
    HEADER_MAX = 512, /* bytes */
    /* ZMTP heartbeats: ZeroMQ closes a connection whose other end is dead, stopped or unreachable
     * within BUS_PATIENCE_MS and a heartbeat; a broker's send then fails with EHOSTUNREACH. */
    ZMTP_HEARTBEAT_MS = 500,
    RECONNECT_MS = 20,
    RECONNECT_MAX_MS = 500,
    WARNING_MS = 1000, /* between two warnings of other versions */
    HIGH_WATER_MARK = 4096
};

void bus_header_release(struct bus_header *h)
{
    h->key_len = strlen(PROJECT_VERSION);
    memcpy(h->key, PROJECT_VERSION, h->key_len);
}

void bus_header_pack(const struct bus_header *h, zmq_msg_t *msg)
{
    msgpack_sbuffer out;
    msgpack_packer pk;

    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, h->type != BUS_READY ? HEADER_FIELDS
                            : h->one_writer      ? READY_FIELDS
                                                 : FIELD_ONE_WRITER);
    msgpack_pack_uint8(&pk, BUS_VERSION);
    msgpack_pack_uint8(&pk, (uint8_t)h->type);
    msgpack_pack_uint64(&pk, h->type == BUS_REQUEST ? h->origin : h->instance);
    msgpack_pack_uint8(&pk, (uint8_t)h->service);
    msgpack_pack_bin_with_body(&pk, h->id, BUS_ID_SIZE);
    msgpack_pack_uint32(&pk, h->ttl_ms);
    msgpack_pack_uint32(&pk, h->attempt);
    msgpack_pack_uint8(&pk, (uint8_t)h->err);
    msgpack_pack_bin_with_body(&pk, h->key, h->key_len);
    msgpack_pack_uint32(&pk, h->type == BUS_REQUEST ? h->subject
                             : h->type == BUS_REPLY ? h->took_us
                                                    : h->window);
    if (h->type == BUS_READY)
        msgpack_pack_bin_with_body(&pk, h->ops.bits, sizeof h->ops.bits);
    if (h->type == BUS_READY && h->one_writer)
        msgpack_pack_uint8(&pk, 1);
    mem_check(zmq_msg_init_size(msg, out.size) == 0);
    memcpy(zmq_msg_data(msg), out.data, out.size);
    msgpack_sbuffer_destroy(&out);
}

/* False: o is not an unsigned integer, or above max. */
static bool get_uint(const msgpack_object *o, uint64_t max, uint64_t *ret)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > max)
        return false;
    *ret = o->via.u64;
    return true;
}

/* Reads the operations of a READY, a bit string of any length. Without it: those that a release
 * without the field knows. */
static void get_ops(const msgpack_object_array *fields, struct bus_ops *ret)
{
    const msgpack_object *o = fields->size > FIELD_OPS ? &fields->ptr[FIELD_OPS] : NULL;

    if (o && o->type == MSGPACK_OBJECT_BIN)
        memcpy(ret->bits, o->via.bin.ptr,
               o->via.bin.size < sizeof ret->bits ? o->via.bin.size : sizeof ret->bits);
    else
        for (unsigned op = 0; op <= BUS_OPS_UNTOLD; op++)
            bus_ops_add(ret, op);
}

/* Whether a READY says that its store has one writer; earlier releases do not say it. */
static bool get_one_writer(const msgpack_object_array *fields)
{
    uint64_t told = 0;

    return fields->size > FIELD_ONE_WRITER &&
           get_uint(&fields->ptr[FIELD_ONE_WRITER], UINT64_MAX, &told) && told == 1;
}

static enum err decode(const msgpack_object *o, struct bus_header *ret)
{
    uint64_t version, type, instance, service, ttl, attempt, err, window;
    struct bus_header h = {0};

    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size < HEADER_FIELDS)
        return ERR_INVALID;
    const msgpack_object *f = o->via.array.ptr;
    if (!get_uint(&f[0], UINT8_MAX, &version) || version != BUS_VERSION ||
        !get_uint(&f[1], BUS_WAKE, &type) || type < BUS_HELLO ||
        !get_uint(&f[2], UINT64_MAX, &instance) || !get_uint(&f[3], SERVICE_COUNT_ - 1, &service) ||
        f[4].type != MSGPACK_OBJECT_BIN || f[4].via.bin.size != BUS_ID_SIZE ||
        !get_uint(&f[5], UINT32_MAX, &ttl) || !get_uint(&f[6], UINT32_MAX, &attempt) ||
        !get_uint(&f[7], UINT8_MAX, &err) || f[8].type != MSGPACK_OBJECT_BIN ||
        f[8].via.bin.size > BUS_KEY_MAX || !get_uint(&f[9], UINT32_MAX, &window))
        return ERR_INVALID;
    h.type = (enum bus_type)type;
    if (h.type == BUS_REQUEST) {
        h.origin = instance;
        h.subject = (uint32_t)window;
    } else {
        h.instance = instance;
        *(h.type == BUS_REPLY ? &h.took_us : &h.window) = (uint32_t)window;
    }
    h.service = (enum service)service;
    memcpy(h.id, f[4].via.bin.ptr, BUS_ID_SIZE);
    h.ttl_ms = (uint32_t)ttl;
    h.attempt = (uint32_t)attempt;
    h.err = err < ERR_COUNT_ ? (enum err)err : ERR_UNAVAILABLE; /* an error of a later release */
    memcpy(h.key, f[8].via.bin.ptr, f[8].via.bin.size);
    h.key_len = f[8].via.bin.size;
    if (h.type == BUS_READY) {
        get_ops(&o->via.array, &h.ops);
        h.one_writer = get_one_writer(&o->via.array);
    }
    *ret = h;
    return ERR_OK;
}

enum err bus_header_unpack(const void *data, size_t len, struct bus_header *ret)
{
    msgpack_zone zone;
    msgpack_object o;
    size_t offset = 0;
    enum err e = ERR_INVALID;

    if (len > HEADER_MAX || !packed_is_sound(data, len) || !msgpack_zone_init(&zone, HEADER_MAX))
        return ERR_INVALID;
    if (msgpack_unpack(data, len, &offset, &zone, &o) == MSGPACK_UNPACK_SUCCESS && offset == len)
        e = decode(&o, ret);
    msgpack_zone_destroy(&zone);
    return e;
}

unsigned bus_header_version(const void *data, size_t len)
{
    const unsigned char *bytes = data;

    /* A msgpack array of fewer than 16 elements, whose first is a number below 128. */
    return len > 1 && (bytes[0] & 0xf0) == 0x90 && bytes[1] < 0x80 ? bytes[1] : 0;
}

void bus_note_version(zmq_msg_t *head, const char *peer)
{
    static int64_t next_ms;
    unsigned version = bus_header_version(zmq_msg_data(head), zmq_msg_size(head));
    int64_t now = clock_mono_ms();

    if (!version || version == BUS_VERSION || now < next_ms)
        return;
    log_warn("refused a message of %s: it speaks version %u of the bus, this process %u; run "
             "releases that speak the same",
             peer, version, BUS_VERSION);
    next_ms = now + WARNING_MS;
}

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_common(void *socket)
{
    int64_t max = BUS_MESSAGE_MAX;

    return set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_SNDHWM, HIGH_WATER_MARK) &&
           set_int(socket, ZMQ_RCVHWM, HIGH_WATER_MARK) && set_int(socket, ZMQ_IPV6, 1) &&
           set_int(socket, ZMQ_HEARTBEAT_IVL, ZMTP_HEARTBEAT_MS) &&
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, BUS_PATIENCE_MS) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, BUS_PATIENCE_MS) &&
           zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max, sizeof max) == 0;
}

/* Closes a half-made socket and keeps errno. */
static void *fail(void *socket)
{
    int saved = errno;

    if (socket)
        zmq_close(socket);
    errno = saved;
    return NULL;
}

void *bus_bind(void *ctx, const char *endpoint, enum bus_side peers)
{
    void *socket = zmq_socket(ctx, ZMQ_ROUTER);

    /* HANDOVER: a peer may reconnect before its old connection is found dead. MANDATORY: a send to
     * a disconnected peer fails instead of being dropped. */
    if (!socket || !set_common(socket) || !set_int(socket, ZMQ_ROUTER_MANDATORY, 1) ||
        !set_int(socket, ZMQ_ROUTER_HANDOVER, 1) || !bus_key_serve(socket, endpoint, peers) ||
        zmq_bind(socket, endpoint) != 0)
        return fail(socket);
    return socket;
}

void *bus_connect(void *ctx, const char *endpoint, const char *role)
{
    void *socket = zmq_socket(ctx, ZMQ_DEALER);
    char identity[128];
    uint64_t unique = 0;

    random_fill(&unique, sizeof unique);
    int n = snprintf(identity, sizeof identity, "%s-%d-%016llx", role, (int)getpid(),
                     (unsigned long long)unique);
    /* IMMEDIATE: a send without a connection fails. PROBE_ROUTER: makes the broker send HELLO at
     * each (re)connect. */
    if (!socket || !set_common(socket) ||
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, identity, (size_t)n) != 0 ||
        !set_int(socket, ZMQ_IMMEDIATE, 1) || !set_int(socket, ZMQ_PROBE_ROUTER, 1) ||
        !set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) ||
        !set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) ||
        !bus_key_connect(socket, endpoint) || zmq_connect(socket, endpoint) != 0)
        return fail(socket);
    return socket;
}
