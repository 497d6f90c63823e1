#include "common/bus.h"
#include "common/envelope.h"
#include "common/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct request sample;

static void fill_sample(void)
{
    memcpy(sample.id, "3061da05-1092-4b23-92a6-c7aab787e134", REQUEST_ID_SIZE);
    sample.op = OP_RESULT_PUT;
    sample.head = true;
    sample.received_us = 1700000000123456;
    sample.params[0] = (struct text){"a\0b", 3};
    sample.params_len = 1;
    sample.query[0].name = (struct text){"queue", 5};
    sample.query[0].value = (struct text){"", 0};
    sample.query_len = 1;
    sample.headers[HDR_COOKIE] = (struct text){"agent_name=x", 12};
    sample.peer = (struct text){"127.0.0.1", 9};
    sample.https = true;
    sample.body = (struct text){"\0\xff{}", 4};
}

static void test_request_round_trip(void **state)
{
    msgpack_sbuffer out;
    msgpack_zone zone;
    struct request *r = malloc(sizeof *r);

    (void)state;
    fill_sample();
    msgpack_sbuffer_init(&out);
    assert_int_equal(request_pack(&sample, &out), ERR_OK);
    assert_true(msgpack_zone_init(&zone, 512));
    assert_int_equal(request_unpack(out.data, out.size, &zone, r), ERR_OK);
    assert_string_equal(r->id, sample.id);
    assert_int_equal(r->op, sample.op);
    assert_true(r->head);
    assert_int_equal(r->received_us, sample.received_us);
    assert_int_equal(r->params_len, 1);
    assert_memory_equal(r->params[0].s, "a\0b", 3);
    assert_int_equal(r->query_len, 1);
    assert_int_equal(r->query[0].value.len, 0);
    assert_null(r->headers[HDR_ACCEPT].s);
    assert_int_equal(r->headers[HDR_COOKIE].len, 12);
    assert_true(r->https);
    assert_int_equal(r->body.len, 4);
    assert_memory_equal(r->body.s, "\0\xff{}", 4);
    msgpack_sbuffer_clear(&out);
    sample.https = false; /* as a frontend of the release before, which has no such key */
    assert_int_equal(request_pack(&sample, &out), ERR_OK);
    assert_int_equal(request_unpack(out.data, out.size, &zone, r), ERR_OK);
    assert_false(r->https);
    msgpack_zone_destroy(&zone);
    msgpack_sbuffer_destroy(&out);
    free(r);
}

/* Every truncation and every changed byte must be refused or decoded, never crash. */
static void test_request_garbage(void **state)
{
    msgpack_sbuffer out;
    struct request *r = malloc(sizeof *r);

    (void)state;
    fill_sample();
    msgpack_sbuffer_init(&out);
    assert_int_equal(request_pack(&sample, &out), ERR_OK);
    for (size_t len = 0; len < out.size; len++) {
        msgpack_zone zone;
        assert_true(msgpack_zone_init(&zone, 512));
        assert_int_equal(request_unpack(out.data, len, &zone, r), ERR_INVALID);
        msgpack_zone_destroy(&zone);
    }
    for (size_t i = 0; i < out.size; i++)
        for (int v = 0; v < 256; v += 5) {
            char *copy = malloc(out.size);
            msgpack_zone zone;
            memcpy(copy, out.data, out.size);
            copy[i] = (char)v;
            assert_true(msgpack_zone_init(&zone, 512));
            enum err e = request_unpack(copy, out.size, &zone, r);
            assert_true(e == ERR_OK || e == ERR_INVALID);
            msgpack_zone_destroy(&zone);
            free(copy);
        }
    msgpack_sbuffer_destroy(&out);
    free(r);
}

static void test_reply_round_trip(void **state)
{
    struct reply in = {.status = 404, .body = {"no\0", 3}}, r;
    msgpack_sbuffer out;
    msgpack_zone zone;

    (void)state;
    in.headers[0].name = "Content-Type";
    in.headers[0].value = "text/plain";
    in.headers_len = 1;
    msgpack_sbuffer_init(&out);
    assert_int_equal(reply_pack(&in, &out), ERR_OK);
    assert_true(msgpack_zone_init(&zone, 512));
    assert_int_equal(reply_unpack(out.data, out.size, &zone, &r), ERR_OK);
    assert_int_equal(r.status, 404);
    assert_int_equal(r.headers_len, 1);
    assert_string_equal(r.headers[0].name, "Content-Type");
    assert_string_equal(r.headers[0].value, "text/plain");
    assert_int_equal(r.body.len, 3);
    msgpack_zone_destroy(&zone);
    msgpack_sbuffer_destroy(&out);
}

static void test_bus_header(void **state)
{
    struct bus_header in = {.type = BUS_REQUEST,
                            .origin = UINT64_MAX,
                            .service = SERVICE_WEBHOOK,
                            .subject = 70000,
                            .id = {1, 2, 255},
                            .ttl_ms = 10000,
                            .attempt = 3,
                            .err = ERR_FULL,
                            .key = "q\0x",
                            .key_len = 3},
                      h;
    zmq_msg_t msg;

    (void)state;
    bus_header_pack(&in, &msg);
    assert_int_equal(bus_header_unpack(zmq_msg_data(&msg), zmq_msg_size(&msg), &h), ERR_OK);
    assert_int_equal(h.type, BUS_REQUEST);
    assert_true(h.origin == UINT64_MAX);
    assert_int_equal(h.service, SERVICE_WEBHOOK);
    assert_memory_equal(h.id, in.id, BUS_ID_SIZE);
    assert_int_equal(h.ttl_ms, 10000);
    assert_int_equal(h.subject, 70000);
    assert_int_equal(h.attempt, 3);
    assert_int_equal(h.err, ERR_FULL);
    assert_int_equal(h.key_len, 3);
    assert_memory_equal(h.key, "q\0x", 3);
    for (size_t len = 0; len < zmq_msg_size(&msg); len++)
        assert_int_equal(bus_header_unpack(zmq_msg_data(&msg), len, &h), ERR_INVALID);
    zmq_msg_close(&msg);
}

static void test_bus_endpoint(void **state)
{
    static const struct {
        const char *bus;
        unsigned broker;
        enum bus_side side;
        const char *expected; /* NULL: refused */
    } rows[] = {
        {"/run/x", 0, BUS_FRONTENDS, "ipc:///run/x/broker-0.frontends"},
        {"/run/x", 3, BUS_WORKERS, "ipc:///run/x/broker-3.workers"},
        {"tcp://127.0.0.1:7000", 0, BUS_WORKERS, "tcp://127.0.0.1:7001"},
        {"tcp://[::1]:7000", 2, BUS_FRONTENDS, "tcp://[::1]:7004"},
        {"tcp://127.0.0.1", 0, BUS_WORKERS, NULL},
        {"tcp://127.0.0.1:0", 0, BUS_WORKERS, NULL},
        {"udp://127.0.0.1:1", 0, BUS_WORKERS, NULL},
        {"", 0, BUS_WORKERS, NULL},
        {"/run/x", 16, BUS_WORKERS, NULL},
    };
    char out[BUS_ENDPOINT_SIZE], longer[200];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum err e = bus_endpoint(rows[i].bus, rows[i].broker, rows[i].side, out);
        assert_int_equal(e, rows[i].expected ? ERR_OK : ERR_INVALID);
        if (rows[i].expected)
            assert_string_equal(out, rows[i].expected);
    }
    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(bus_endpoint(longer, 0, BUS_WORKERS, out), ERR_INVALID);
    assert_true(bus_is_remote("tcp://10.0.0.1:7000"));
    assert_false(bus_is_remote("tcp://127.0.0.2:7000"));
    assert_false(bus_is_remote("/run/x"));
}

/* ---- what no release may change ---- */

/* By number on the bus. Append, change none; "" where a header is gone. */
static const char *const headers_on_the_bus[] = {
    "Authorization",   "Cookie",        "Content-Type",    "Accept",       "Host",
    "Accept-Encoding", "If-None-Match", "Idempotency-Key", "Last-Event-ID"};

static void test_numbers_of_headers_stay(void **state)
{
    const size_t known = sizeof headers_on_the_bus / sizeof *headers_on_the_bus;
    size_t seen = 0;

    (void)state;
#define HEADER(id, wire, name)                                                                     \
    assert_true((wire) < known && (wire) <= HEADER_WIRE_MAX);                                      \
    assert_string_equal(headers_on_the_bus[wire], name);                                           \
    seen++;
#include "common/headers.def"
#undef HEADER
    for (size_t i = 0; i < known; i++)
        seen -= *headers_on_the_bus[i] != '\0';
    assert_int_equal(seen, 0);
}

/* REJECT carries an error by its position, REQUEST and READY a service by its number. */
static void test_numbers_of_errors_and_services_stay(void **state)
{
    (void)state;
    assert_int_equal(ERR_INTERNAL, 6);
    assert_int_equal(ERR_UNAVAILABLE, 8);
    assert_int_equal(ERR_FULL, 9);
    assert_int_equal(ERR_TIMEOUT, 10);
    assert_int_equal(ERR_NO_BROKER, 11);
    assert_int_equal(ERR_NO_WORKER, 12);
    assert_int_equal(SERVICE_API, 1);
    assert_int_equal(SERVICE_WEBHOOK, 2);
    assert_int_equal(SERVICE_LOGIN, 3);
}

static void pack_bytes(msgpack_packer *pk, const char *s)
{
    msgpack_pack_bin_with_body(pk, s, strlen(s));
}

/* A request of a later release: more fields, more headers, of which one is unknown here. */
static void test_request_of_a_later_release(void **state)
{
    struct request *r = malloc(sizeof *r);
    msgpack_sbuffer out;
    msgpack_packer pk;
    msgpack_zone zone;

    (void)state;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 11);
    for (int key = 0; key < 10; key++) {
        msgpack_pack_int(&pk, key);
        if (key == 1)
            pack_bytes(&pk, "3061da05-1092-4b23-92a6-c7aab787e134");
        else if (key == 2)
            msgpack_pack_int(&pk, 8);
        else if (key == 5 || key == 6)
            msgpack_pack_array(&pk, 0);
        else if (key == 7) {
            msgpack_pack_array(&pk, HEADER_WIRE_MAX + 1);
            for (int i = 0; i <= HEADER_WIRE_MAX; i++)
                pack_bytes(&pk, i == 1 ? "agent_name=x" : "other");
        } else if (key >= 8)
            pack_bytes(&pk, "");
        else
            msgpack_pack_int(&pk, key == 0 ? ENVELOPE_VERSION : 0);
    }
    msgpack_pack_int(&pk, 77);
    pack_bytes(&pk, "a field of tomorrow");
    assert_true(msgpack_zone_init(&zone, 512));
    assert_int_equal(request_unpack(out.data, out.size, &zone, r), ERR_OK);
    assert_int_equal(r->op, OP_RESULT_PUT);
    assert_int_equal(r->headers[HDR_COOKIE].len, strlen("agent_name=x"));
    msgpack_zone_destroy(&zone);
    msgpack_sbuffer_destroy(&out);
    free(r);
}

static void test_ready_tells_operations(void **state)
{
    struct bus_header h = {.type = BUS_READY, .service = SERVICE_API}, again;
    unsigned char *bytes;
    zmq_msg_t msg;

    (void)state;
    bus_ops_add(&h.ops, 7);
    bus_ops_add(&h.ops, BUS_OPS_MAX);
    bus_header_release(&h);
    bus_header_pack(&h, &msg);
    bytes = zmq_msg_data(&msg);
    assert_int_equal(bus_header_version(bytes, zmq_msg_size(&msg)), BUS_VERSION);
    assert_int_equal(bus_header_unpack(bytes, zmq_msg_size(&msg), &again), ERR_OK);
    assert_memory_equal(&again.ops, &h.ops, sizeof h.ops);
    assert_true(again.key_len > 0);
    /* A READY of an older release ends before them. */
    bytes[0]--;
    assert_int_equal(bus_header_unpack(bytes, zmq_msg_size(&msg) - 2 - sizeof h.ops, &again),
                     ERR_OK);
    assert_true(bus_ops_has(&again.ops, BUS_OPS_UNTOLD) &&
                !bus_ops_has(&again.ops, BUS_OPS_UNTOLD + 1));
    zmq_msg_close(&msg);
}

static void test_reject_of_a_later_release(void **state)
{
    struct bus_header h = {.type = BUS_REJECT, .err = ERR_TIMEOUT}, again;
    const size_t place = 7 + 2 + BUS_ID_SIZE; /* of the error: behind 7 short numbers and the id */
    unsigned char *bytes;
    zmq_msg_t msg;

    (void)state;
    bus_header_pack(&h, &msg);
    bytes = zmq_msg_data(&msg);
    assert_int_equal(bytes[place], ERR_TIMEOUT);
    bytes[place] = ERR_COUNT_;
    assert_int_equal(bus_header_unpack(bytes, zmq_msg_size(&msg), &again), ERR_OK);
    assert_int_equal(again.err, ERR_UNAVAILABLE);
    zmq_msg_close(&msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_round_trip),
        cmocka_unit_test(test_request_garbage),
        cmocka_unit_test(test_reply_round_trip),
        cmocka_unit_test(test_bus_header),
        cmocka_unit_test(test_bus_endpoint),
        cmocka_unit_test(test_numbers_of_headers_stay),
        cmocka_unit_test(test_numbers_of_errors_and_services_stay),
        cmocka_unit_test(test_request_of_a_later_release),
        cmocka_unit_test(test_ready_tells_operations),
        cmocka_unit_test(test_reject_of_a_later_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
