/* Fuzz target: messages of a peer on the bus. The first byte of the input chooses the decoder. A
 * message that it accepts must survive being packed and read again. */
#include "common/bus.h"
#include "common/envelope.h"
#include "common/op.h"
#include "common/packed.h"
#include "tests/fuzz/require.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(struct text a, struct text b)
{
    return !a.s == !b.s && a.len == b.len && (!a.len || memcmp(a.s, b.s, a.len) == 0);
}

static void header(const uint8_t *data, size_t size)
{
    struct bus_header h, again;
    zmq_msg_t msg;

    if (bus_header_unpack(data, size, &h))
        return;
    require(h.key_len <= BUS_KEY_MAX);
    bus_header_pack(&h, &msg);
    require(bus_header_unpack(zmq_msg_data(&msg), zmq_msg_size(&msg), &again) == ERR_OK);
    require(again.type == h.type && again.instance == h.instance && again.service == h.service &&
            again.ttl_ms == h.ttl_ms && again.attempt == h.attempt && again.err == h.err &&
            again.window == h.window && again.origin == h.origin && again.subject == h.subject &&
            again.key_len == h.key_len && memcmp(again.id, h.id, BUS_ID_SIZE) == 0 &&
            memcmp(again.key, h.key, h.key_len) == 0 &&
            memcmp(&again.ops, &h.ops, sizeof h.ops) == 0);
    zmq_msg_close(&msg);
}

static void compare_requests(const struct request *a, const struct request *b)
{
    require(strcmp(a->id, b->id) == 0 && a->op == b->op && a->head == b->head &&
            a->received_us == b->received_us && a->params_len == b->params_len &&
            a->query_len == b->query_len && same(a->peer, b->peer) && same(a->body, b->body));
    for (size_t i = 0; i < a->params_len; i++)
        require(same(a->params[i], b->params[i]));
    for (size_t i = 0; i < a->query_len; i++)
        require(same(a->query[i].name, b->query[i].name) &&
                same(a->query[i].value, b->query[i].value));
    for (size_t i = 0; i < HDR_COUNT_; i++)
        require(same(a->headers[i], b->headers[i]));
}

static void request(const uint8_t *data, size_t size)
{
    static struct request r, again;
    msgpack_zone zone;
    msgpack_sbuffer out;

    require(msgpack_zone_init(&zone, 1024));
    if (request_unpack((const char *)data, size, &zone, &r) == ERR_OK) {
        require(r.op < OP_COUNT_ && r.params_len <= ROUTE_PARAMS_MAX && r.query_len <= QUERY_MAX);
        msgpack_sbuffer_init(&out);
        require(request_pack(&r, &out) == ERR_OK);
        require(request_unpack(out.data, out.size, &zone, &again) == ERR_OK);
        compare_requests(&r, &again);
        msgpack_sbuffer_destroy(&out);
    }
    msgpack_zone_destroy(&zone);
}

static void reply(const uint8_t *data, size_t size)
{
    struct reply r, again;
    msgpack_zone zone;
    msgpack_sbuffer out;

    require(msgpack_zone_init(&zone, 1024));
    if (reply_unpack((const char *)data, size, &zone, &r) == ERR_OK) {
        require(r.status >= 200 && r.status < 600 && r.headers_len <= REPLY_HEADERS_MAX);
        msgpack_sbuffer_init(&out);
        require(reply_pack(&r, &out) == ERR_OK);
        require(reply_unpack(out.data, out.size, &zone, &again) == ERR_OK);
        require(again.status == r.status && again.headers_len == r.headers_len &&
                again.claimed == r.claimed && same(again.body, r.body));
        for (size_t i = 0; i < r.headers_len; i++)
            require(strcmp(again.headers[i].name, r.headers[i].name) == 0 &&
                    strcmp(again.headers[i].value, r.headers[i].value) == 0);
        msgpack_sbuffer_destroy(&out);
    }
    msgpack_zone_destroy(&zone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const decoders[])(const uint8_t *, size_t) = {header, request, reply};

    if (size > 0)
        decoders[*data % (sizeof decoders / sizeof *decoders)](data + 1, size - 1);
    return 0;
}
