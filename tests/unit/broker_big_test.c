#include "broker/peers.h"
#include "broker/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

#define OP(n) ((uint32_t)(n) << BUS_SUBJECT_OP_SHIFT)

enum { NOW = 1000, ANN = 11, BOB = 22 };

struct fixture {
    struct queue q;
    struct peer frontend, worker;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    queue_init(&f->q, 64, 1000 * MIB);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    bool sound = true;

    queue_free(&f->q);
    for (size_t i = 0; i < BIG_CLIENTS; i++)
        sound = sound && !f->q.big.clients[i].waiting;
    sound = sound && !f->q.big.in_hand && !f->q.big.waiting.len;
    free(f);
    return sound ? 0 : -1;
}

static enum err add(struct fixture *f, char id, uint64_t origin, uint32_t subject, const char *key)
{
    struct bus_header h = {.type = BUS_REQUEST,
                           .service = SERVICE_API,
                           .ttl_ms = 1000,
                           .origin = origin,
                           .subject = subject};
    zmq_msg_t payload;

    h.id[0] = (uint8_t)id;
    h.key_len = strlen(key);
    memcpy(h.key, key, h.key_len);
    assert_int_equal(zmq_msg_init_size(&payload, 10), 0);
    enum err e = queue_add(&f->q, &h, &payload, &f->frontend, NOW);
    zmq_msg_close(&payload);
    return e;
}

/* Adds a request, which must be accepted. */
static void put(struct fixture *f, char id, uint64_t origin, uint32_t subject)
{
    assert_int_equal(add(f, id, origin, subject, ""), ERR_OK);
}

static void learn(struct fixture *f, uint64_t origin, uint32_t subject, size_t bytes)
{
    struct bus_header h = {.origin = origin, .subject = subject};

    costs_note(&f->q.big.costs, &h, bytes);
}

static size_t expect(struct fixture *f, uint64_t origin, uint32_t subject)
{
    struct bus_header h = {.origin = origin, .subject = subject};

    return costs_expect(&f->q.big.costs, &h);
}

/* Returns the bundle that a worker gets, and answers it. */
static void take(struct fixture *f, const char *expected)
{
    struct work *works[BUS_BUNDLE_MAX];
    char got[BUS_BUNDLE_MAX + 1] = "";
    size_t n = queue_take(&f->q, SERVICE_API, QUEUE_ALL, BUS_BUNDLE_MAX, &f->worker, works, NOW);

    for (size_t i = 0; i < n; i++)
        got[i] = (char)works[i]->header.id[0];
    assert_string_equal(got, expected);
    for (size_t i = 0; i < n; i++)
        queue_remove(&f->q, works[i]);
}

static void take_big(struct fixture *f, const char *expected)
{
    for (; *expected; expected++) {
        struct work *w = queue_take_big(&f->q, &f->worker, NOW);
        assert_non_null(w);
        assert_int_equal(w->header.id[0], *expected);
        queue_remove(&f->q, w);
    }
}

/* Returns the client whose turn it is, and answers its request. */
static uint64_t take_client(struct fixture *f)
{
    struct work *w = queue_take_big(&f->q, &f->worker, NOW);

    assert_non_null(w);
    uint64_t origin = w->header.origin;
    queue_remove(&f->q, w);
    return origin;
}

static void test_costs(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(expect(f, ANN, OP(1)), 0);
    learn(f, ANN, OP(1) + 7, 5 * MIB);
    assert_int_equal(expect(f, BOB, OP(1) + 7), 5 * MIB); /* whoever asks */
    assert_int_equal(expect(f, BOB, OP(1) + 8), 0);
    assert_int_equal(expect(f, ANN, OP(1) + 8), 5 * MIB); /* what she got last */
    assert_int_equal(expect(f, ANN, OP(2) + 8), 0);       /* but by this operation */
    assert_int_equal(expect(f, 0, 0), 0);
    learn(f, 0, 0, 5 * MIB); /* of a frontend that does not tell */
    assert_int_equal(expect(f, 0, 0), 0);
    learn(f, BOB, OP(1) + 7, 100); /* it is small now */
    assert_int_equal(expect(f, BOB, OP(1) + 7), 0);
    for (uint32_t i = 0; i < 40; i++) /* a client that reads small ones is trusted again */
        learn(f, ANN, OP(1) + 100 + i, 100);
    assert_int_equal(expect(f, ANN, OP(1) + 8), 0);
}

static void test_small_ones_push_no_large_ones_out(void **state)
{
    struct fixture *f = *state;

    learn(f, ANN, OP(1) + 7, 5 * MIB);
    for (uint32_t i = 0; i < 100000; i++)
        learn(f, i + 1000, OP(3) + i, 200 * 1024);
    assert_int_equal(expect(f, ANN, OP(1) + 7), 5 * MIB);
}

static void test_big_ones_wait_apart(void **state)
{
    struct fixture *f = *state;

    learn(f, ANN, OP(1), 2 * MIB);
    put(f, '1', BOB, OP(1));
    put(f, '2', BOB, OP(2));
    put(f, '3', BOB, OP(1));
    assert_int_equal(queue_runnable(&f->q, SERVICE_API, QUEUE_ALL), 1);
    take(f, "2");
    take_big(f, "13");
    assert_null(queue_take_big(&f->q, &f->worker, NOW));
}

/* Sizes learnt while a request waits count for it. */
static void test_found_out_later(void **state)
{
    struct fixture *f = *state;

    put(f, '1', BOB, OP(1));
    put(f, '2', BOB, OP(2));
    assert_int_equal(queue_runnable(&f->q, SERVICE_API, QUEUE_ALL), 2);
    learn(f, ANN, OP(1), 2 * MIB);
    take(f, "2");
    take_big(f, "1");
}

static void test_bundles_by_expected_bytes(void **state)
{
    struct fixture *f = *state;

    learn(f, ANN, OP(1), 100 * 1024);
    for (char id = '1'; id <= '5'; id++)
        put(f, id, BOB, OP(1));
    put(f, '6', BOB, OP(2));
    take(f, "12");
    take(f, "34");
    take(f, "56");
}

static void test_clients_take_turns(void **state)
{
    struct fixture *f = *state;

    learn(f, 1, OP(1), 10 * MIB);
    learn(f, 1, OP(2), 1 * MIB);
    for (char id = '1'; id <= '4'; id++)
        put(f, id, ANN, OP(1));
    for (char id = 'a'; id <= 'd'; id++)
        put(f, id, BOB, OP(1));
    assert_true(take_client(f) + take_client(f) == ANN + BOB);
    assert_true(take_client(f) + take_client(f) == ANN + BOB);
    for (char id = 'u'; id <= 'w'; id++) /* clients with smaller requests get more of them served */
        put(f, id, 33, OP(2));
    take_big(f, "u");
    take_big(f, "v");
    take_big(f, "w");
    assert_true(take_client(f) + take_client(f) == ANN + BOB);
}

/* A request removed before its turn costs its client nothing. */
static void test_dropped_requests_are_not_charged(void **state)
{
    struct fixture *f = *state;
    struct work *w;

    learn(f, 1, OP(1), 10 * MIB);
    for (int way = 0; way < 2; way++) {
        for (char id = 'a'; id <= 'd'; id++)
            put(f, id, ANN, OP(1));
        if (way == 0)
            queue_frontend_gone(&f->q, &f->frontend);
        else
            while ((w = queue_due(&f->q, NOW + 1000)))
                queue_remove(&f->q, w);
        put(f, 'e', ANN, OP(1));
        put(f, '1', BOB, OP(1));
        put(f, '2', BOB, OP(1));
        assert_true(take_client(f) + take_client(f) == ANN + BOB);
        assert_true(take_client(f) == BOB);
        put(f, 'f', ANN, OP(1)); /* both have paid for equally many */
        assert_true(take_client(f) == ANN);
    }
}

/* A request whose worker died keeps its turn and is paid for once. */
static void test_put_back_is_charged_once(void **state)
{
    struct fixture *f = *state;

    learn(f, 1, OP(1), 5 * MIB);
    learn(f, 1, OP(2), 1 * MIB);
    put(f, 'a', ANN, OP(1));
    struct work *w = queue_take_big(&f->q, &f->worker, NOW);
    for (char id = '0'; id <= '5'; id++)
        put(f, id, BOB, OP(2));
    queue_put_back(&f->q, w);
    put(f, 'b', ANN, OP(1));
    assert_true(take_client(f) + take_client(f) == ANN + BOB);
    for (int i = 0; i < 4; i++) /* the answer of 'a' is five times larger, and so is its cost */
        assert_true(take_client(f) == BOB);
    assert_true(take_client(f) == ANN);
}

static void test_a_client_has_its_share_of_the_places(void **state)
{
    struct fixture *f = *state;
    int n = 0;

    learn(f, 1, OP(1), 10 * MIB);
    while (add(f, (char)(n + 1), ANN, OP(1), "") == ERR_OK)
        n++;
    assert_int_equal(n, 64 / BIG_CLIENT_SHARE + 1);
    put(f, 'b', BOB, OP(1));
    put(f, 's', ANN, OP(2));
    take(f, "s");
}

/* A lane goes on after a big request, in order and one at a time. */
static void test_lane(void **state)
{
    struct fixture *f = *state;
    struct work *w;

    learn(f, 1, OP(1), 10 * MIB);
    assert_int_equal(add(f, '1', ANN, OP(2), "k"), ERR_OK);
    assert_int_equal(add(f, '2', ANN, OP(1), "k"), ERR_OK);
    assert_int_equal(add(f, '3', ANN, OP(2), "k"), ERR_OK);
    assert_null(queue_take_big(&f->q, &f->worker, NOW));
    take(f, "1");
    assert_int_equal(queue_runnable(&f->q, SERVICE_API, QUEUE_ALL), 0);
    assert_non_null(w = queue_take_big(&f->q, &f->worker, NOW));
    assert_int_equal(w->header.id[0], '2');
    assert_int_equal(queue_runnable(&f->q, SERVICE_API, QUEUE_ALL), 0);
    queue_put_back(&f->q, w); /* its worker is gone */
    assert_int_equal(f->q.big.in_hand, 0);
    take_big(f, "2");
    take(f, "3");
}

static void test_share_of_the_workers(void **state)
{
    static const struct {
        size_t workers, most;
    } rows[] = {
        {1, 1}, {2, 1}, {3, 1}, {4, 2}, {16, 8},
    };
    struct fixture *f = *state;

    learn(f, 1, OP(1), 10 * MIB);
    put(f, '1', ANN, OP(1));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->q.big.in_hand = rows[i].most - 1;
        assert_true(big_may_run(&f->q.big, rows[i].workers, 5, NOW));
        f->q.big.in_hand = rows[i].most;
        assert_false(big_may_run(&f->q.big, rows[i].workers, 0, NOW));
    }
    f->q.big.in_hand = 0;
    take_big(f, "1");
    assert_false(big_may_run(&f->q.big, 4, 0, NOW));
}

/* After a big request the only worker serves others, if any wait, for as long as that one took. */
static void test_a_single_worker_takes_turns(void **state)
{
    struct fixture *f = *state;
    struct work *works[BUS_BUNDLE_MAX];

    learn(f, 1, OP(1), 10 * MIB);
    for (char id = '1'; id <= '3'; id++)
        put(f, id, ANN, OP(1));
    struct work *w = queue_take_big(&f->q, &f->worker, NOW);
    queue_note_answer(&f->q, w, 10 * MIB, 0, NOW + 300);
    queue_remove(&f->q, w);
    assert_true(big_may_run(&f->q.big, 1, 0, NOW + 300)); /* nobody else waits */
    assert_false(big_may_run(&f->q.big, 1, 1, NOW + 300));
    assert_true(big_may_run(&f->q.big, 2, 1, NOW + 300));
    put(f, 's', BOB, OP(2));
    assert_int_equal(queue_take(&f->q, SERVICE_API, QUEUE_ALL, 1, &f->worker, works, NOW + 300), 1);
    queue_remove(&f->q, works[0]);
    assert_false(big_may_run(&f->q.big, 1, 0, NOW + 599)); /* the others still have their time */
    assert_true(big_next_due(&f->q.big, NOW + 400) == NOW + 600);
    assert_true(big_may_run(&f->q.big, 1, 1, NOW + 600));
    assert_true(big_next_due(&f->q.big, NOW + 600) == INT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_costs),
        TEST(test_small_ones_push_no_large_ones_out),
        TEST(test_big_ones_wait_apart),
        TEST(test_found_out_later),
        TEST(test_bundles_by_expected_bytes),
        TEST(test_clients_take_turns),
        TEST(test_dropped_requests_are_not_charged),
        TEST(test_put_back_is_charged_once),
        TEST(test_a_client_has_its_share_of_the_places),
        TEST(test_lane),
        TEST(test_share_of_the_workers),
        TEST(test_a_single_worker_takes_turns),
    };
    return cmocka_run_group_tests_name("broker_big", tests, NULL, NULL);
}
