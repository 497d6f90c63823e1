#include "broker/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

static struct peer *add(struct peers *p, const char *name)
{
    struct peer *peer = peers_add(p, name, strlen(name));
    assert_non_null(peer);
    return peer;
}

static void join(struct peers *p, struct peer *peer, enum service service, uint32_t window)
{
    const struct bus_header ready = {.service = service, .window = window};

    peers_join(p, peer, &ready);
}

static void test_identities(void **state)
{
    static const char long_name[PEER_IDENTITY_MAX + 1];
    static const struct {
        const char *name;
        size_t len;
        bool ok;
    } rows[] = {
        {"", 0, false},
        {"a", 1, true},
        {"a\0b", 3, true},
        {"a\0c", 3, true},
        {long_name, PEER_IDENTITY_MAX, true},
        {long_name, PEER_IDENTITY_MAX + 1, false},
    };
    struct peers p = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_null(peers_find(&p, rows[i].name, rows[i].len));
        struct peer *peer = peers_add(&p, rows[i].name, rows[i].len);
        assert_int_equal(peer != NULL, rows[i].ok);
        assert_ptr_equal(peers_find(&p, rows[i].name, rows[i].len), peer);
    }
    peers_free(&p);
}

static void test_limit(void **state)
{
    struct peers p = {0};

    (void)state;
    for (unsigned i = 0; i < PEERS_MAX; i++)
        assert_non_null(peers_add(&p, &i, sizeof i));
    assert_null(peers_add(&p, "more", 4));
    unsigned some = 7;
    peers_remove(&p, peers_find(&p, &some, sizeof some));
    assert_non_null(peers_add(&p, "more", 4));
    peers_free(&p);
}

static void test_window(void **state)
{
    struct peers p = {0};
    struct peer *a = add(&p, "a"), *b = add(&p, "b");

    (void)state;
    join(&p, a, SERVICE_WEBHOOK, 3);
    join(&p, b, SERVICE_WEBHOOK, 1000);
    assert_int_equal(peer_room(a), 3);
    assert_int_equal(peer_room(b), BUS_BUNDLE_MAX);
    /* They take turns, also while they have something in hand. */
    assert_ptr_equal(peers_take_ready(&p, SERVICE_WEBHOOK), a);
    a->hand_len = 2;
    peers_put_ready(&p, a);
    assert_ptr_equal(peers_take_ready(&p, SERVICE_WEBHOOK), b);
    b->hand_len = 999;
    peers_put_ready(&p, b);
    assert_int_equal(peer_room(b), 1);
    assert_ptr_equal(peers_take_ready(&p, SERVICE_WEBHOOK), a);
    a->hand_len = 3;
    peers_put_ready(&p, a); /* its window is full */
    assert_int_equal(peer_room(a), 0);
    assert_ptr_equal(peers_take_ready(&p, SERVICE_WEBHOOK), b);
    assert_null(peers_take_ready(&p, SERVICE_WEBHOOK));
    assert_int_equal(p.workers[SERVICE_WEBHOOK], 2);
    a->hand_len = b->hand_len = 0;
    peers_free(&p);
}

static void test_ready(void **state)
{
    struct peers p = {0};
    struct peer *a = add(&p, "a"), *b = add(&p, "b"), *c = add(&p, "c");

    (void)state;
    assert_null(peers_take_ready(&p, SERVICE_API));
    join(&p, a, SERVICE_API, 0);
    join(&p, b, SERVICE_API, 0);
    join(&p, c, SERVICE_WEBHOOK, 0);
    assert_int_equal(p.workers[SERVICE_API], 2);
    assert_int_equal(p.workers[SERVICE_WEBHOOK], 1);
    assert_ptr_equal(peers_take_ready(&p, SERVICE_API), b);
    assert_ptr_equal(peers_take_ready(&p, SERVICE_API), a);
    assert_null(peers_take_ready(&p, SERVICE_API));
    peers_put_ready(&p, b);
    peers_put_ready(&p, a);
    peers_put_ready(&p, a); /* it is: nothing happens */
    assert_ptr_equal(peers_take_ready(&p, SERVICE_API), a);
    assert_int_equal(p.workers[SERVICE_API], 2);
    peers_free(&p);
}

static void test_leave(void **state)
{
    struct peers p = {0};
    struct peer *a = add(&p, "a");

    (void)state;
    join(&p, a, SERVICE_API, 0);
    peers_leave(&p, a, PEER_LEAVING);
    assert_null(peers_take_ready(&p, SERVICE_API));
    assert_int_equal(p.workers[SERVICE_API], 0);
    peers_leave(&p, a, PEER_LEAVING);
    assert_int_equal(p.workers[SERVICE_API], 0);
    peers_put_ready(&p, a); /* its last work is done, but it has left */
    assert_null(peers_take_ready(&p, SERVICE_API));
    join(&p, a, SERVICE_WEBHOOK, 0);
    join(&p, a, SERVICE_API, 0); /* again, of another service */
    assert_int_equal(p.workers[SERVICE_WEBHOOK], 0);
    assert_int_equal(p.workers[SERVICE_API], 1);
    assert_ptr_equal(peers_take_ready(&p, SERVICE_API), a);
    peers_leave(&p, a, PEER_ALONE); /* while it is busy */
    assert_int_equal(p.workers[SERVICE_API], 0);
    peers_free(&p);
}

static void test_remove(void **state)
{
    struct peers p = {0};
    struct peer *a = add(&p, "a");

    (void)state;
    join(&p, a, SERVICE_API, 0);
    peers_remove(&p, a);
    assert_true(a->gone); /* still valid */
    assert_null(peers_find(&p, "a", 1));
    assert_null(peers_take_ready(&p, SERVICE_API));
    assert_int_equal(p.workers[SERVICE_API], 0);
    assert_ptr_not_equal(add(&p, "a"), a);
    peers_reap(&p);
    peers_reap(&p);
    peers_free(&p);
}

static void test_name(void **state)
{
    struct peers p = {0};
    char out[PEER_NAME_SIZE], identity[PEER_IDENTITY_MAX];

    (void)state;
    assert_string_equal(peer_name(add(&p, "worker-1\n\x80 \"x"), out), "worker-1???\"x");
    memset(identity, 'a', sizeof identity);
    peer_name(peers_add(&p, identity, sizeof identity), out);
    assert_int_equal(strlen(out), PEER_NAME_SIZE - 1);
    peers_free(&p);
}

static void join_knowing(struct peers *p, const char *name, unsigned op, unsigned other)
{
    struct bus_header ready = {.service = SERVICE_API};

    bus_ops_add(&ready.ops, op);
    bus_ops_add(&ready.ops, other);
    peers_join(p, add(p, name), &ready);
}

static void test_known_operations(void **state)
{
    struct peers p = {0};
    struct bus_ops all, some;

    (void)state;
    assert_false(peers_known(&p, SERVICE_API, &all, &some));
    add(&p, "not a worker");
    join_knowing(&p, "old", 3, 4);
    join_knowing(&p, "new", 3, 200);
    assert_true(p.changed[SERVICE_API]);
    assert_true(peers_known(&p, SERVICE_API, &all, &some));
    assert_false(p.changed[SERVICE_API]);
    assert_true(bus_ops_has(&all, 3) && !bus_ops_has(&all, 4) && !bus_ops_has(&all, 200));
    assert_true(bus_ops_has(&some, 3) && bus_ops_has(&some, 4) && bus_ops_has(&some, 200));
    assert_false(bus_ops_has(&some, 5));
    assert_false(peers_known(&p, SERVICE_LOGIN, &all, &some));
    peers_leave(&p, peers_find(&p, "old", 3), PEER_LEAVING);
    assert_true(p.changed[SERVICE_API] && peers_known(&p, SERVICE_API, &all, &some));
    assert_true(bus_ops_has(&all, 200) && !bus_ops_has(&some, 4));
    peers_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identities), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_window),     cmocka_unit_test(test_ready),
        cmocka_unit_test(test_leave),      cmocka_unit_test(test_remove),
        cmocka_unit_test(test_name),       cmocka_unit_test(test_known_operations),
    };
    return cmocka_run_group_tests_name("broker_peers", tests, NULL, NULL);
}
