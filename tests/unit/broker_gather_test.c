#include "broker/gather.h"
#include "common/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { NOW = 1000, NOW_US = 1000 * 1000, READ = OP_JOB_GET, WRITE = OP_JOB_ADD };

struct fixture {
    struct queue q;
    struct peers workers;
    struct peer frontend;
    uint32_t added;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    queue_init(&f->q, 1000, 100 * MIB);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct peer *worker, *next;
    bool sound = true;

    queue_free(&f->q);
    HASH_ITER (hh, f->workers.by_identity, worker, next)
        sound = sound && !worker->hand && !worker->writes;
    peers_free(&f->workers);
    free(f);
    return sound ? 0 : -1;
}

static struct peer *join(struct fixture *f, const char *name, bool one_writer)
{
    struct bus_header ready = {.service = SERVICE_API, .one_writer = one_writer};
    struct peer *worker = peers_add(&f->workers, name, strlen(name));

    memset(ready.ops.bits, 0xff, sizeof ready.ops.bits);
    peers_join(&f->workers, worker, &ready);
    return worker;
}

static void add(struct fixture *f, unsigned op, size_t size, unsigned n)
{
    for (; n; n--) {
        struct bus_header h = {.type = BUS_REQUEST,
                               .service = SERVICE_API,
                               .ttl_ms = 1000,
                               .subject = (uint32_t)(route_wire(route_of(op)) + 1)
                                          << BUS_SUBJECT_OP_SHIFT};
        zmq_msg_t payload;
        f->added++;
        memcpy(h.id, &f->added, sizeof f->added);
        assert_int_equal(zmq_msg_init_size(&payload, size), 0);
        assert_int_equal(queue_add(&f->q, &h, &payload, &f->frontend, NOW), ERR_OK);
    }
}

static struct gather decide(struct fixture *f, int64_t now_us)
{
    assert_non_null(f->workers.ready[SERVICE_API]);
    return gather_decide(&f->q, &f->workers, SERVICE_API, f->workers.ready[SERVICE_API], false,
                         now_us);
}

/* Hands a bundle to the first ready worker, as the broker does; its length. */
static size_t take(struct fixture *f, int64_t now_us)
{
    struct gather g = decide(f, now_us);
    struct work *works[BUS_BUNDLE_MAX];

    if (!g.share)
        return 0;
    struct peer *worker = peers_take_ready(&f->workers, SERVICE_API);
    worker->began_us = now_us;
    return queue_take(&f->q, SERVICE_API, g.kinds, g.share, worker, works, NOW);
}

static void answer(struct fixture *f, struct peer *worker)
{
    while (worker->hand)
        queue_remove(&f->q, worker->hand);
    peers_put_ready(&f->workers, worker);
}

/* Without load each request goes out at once. */
static void test_idle(void **state)
{
    struct fixture *f = *state;
    struct peer *a = join(f, "a", false);

    join(f, "b", false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(decide(f, NOW_US).share, 0);
        assert_true(decide(f, NOW_US).look_us == INT64_MAX);
        add(f, WRITE, 10, 1);
        assert_int_equal(take(f, NOW_US), 1);
        answer(f, f->workers.busy[SERVICE_API]);
    }
    assert_null(a->hand);
}

/* Requests wait for a busy worker and go to it in one bundle. */
static void test_gathers(void **state)
{
    struct fixture *f = *state;

    join(f, "a", false);
    join(f, "b", false);
    add(f, WRITE, 10, 1);
    assert_int_equal(take(f, NOW_US), 1);
    struct peer *busy = f->workers.busy[SERVICE_API];
    add(f, WRITE, 10, 8);
    add(f, READ, 10, 8);
    assert_int_equal(take(f, NOW_US + 100), 0);
    assert_true(decide(f, NOW_US + 100).look_us == NOW_US + PATIENCE_MIN_US);
    answer(f, busy);
    assert_int_equal(take(f, NOW_US + 200), 16);
    assert_ptr_equal(f->workers.busy[SERVICE_API], busy); /* its caches are warm */
}

/* Another worker is woken when the first takes longer than it should. */
static void test_patience(void **state)
{
    struct fixture *f = *state;

    join(f, "a", false);
    join(f, "b", false);
    for (int i = 0; i < 100; i++)
        pace_note_turn(&f->q.pace, 3000);
    int64_t patience = pace_patience_us(&f->q.pace);
    assert_in_range(patience, 5000, 6000);
    add(f, READ, 10, 1);
    assert_int_equal(take(f, NOW_US), 1);
    add(f, READ, 10, 1);
    assert_int_equal(take(f, NOW_US + patience - 1), 0);
    assert_int_equal(take(f, NOW_US + patience), 1);
}

/* A full bundle (number, bytes or expected time) is sent at once. */
static void test_full(void **state)
{
    static const struct {
        unsigned few, full;
        size_t size;
        uint32_t took_us;
    } rows[] = {
        {BUS_BUNDLE_MAX - 1, BUS_BUNDLE_MAX, 10, 0},
        {3, 4, BUNDLE_BYTES_MAX / 4, 0},
        {3, 4, 10, BUNDLE_US / 4},
    };

    struct fixture *f = *state;
    struct peer *workers[] = {join(f, "a", false), join(f, "b", false)};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->q.pace = (struct pace){0};
        add(f, READ, 10, 1);
        assert_int_equal(take(f, NOW_US), 1);
        pace_note(&f->q.pace, route_wire(route_of(READ)), rows[i].took_us);
        add(f, READ, rows[i].size, rows[i].few);
        assert_int_equal(take(f, NOW_US), 0);
        add(f, READ, rows[i].size, rows[i].full - rows[i].few);
        assert_int_equal(take(f, NOW_US), rows[i].full);
        answer(f, workers[0]);
        answer(f, workers[1]);
    }
}

/* Long requests are divided among the workers, one by one. */
static void test_expected_time(void **state)
{
    struct fixture *f = *state;

    for (const char *name = "abc"; *name; name++)
        join(f, (char[]){*name, '\0'}, false);
    pace_note(&f->q.pace, route_wire(route_of(READ)), 20 * BUNDLE_US);
    add(f, READ, 10, 3);
    add(f, WRITE, 10, 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(f, NOW_US), 1);
}

/* A worker with a big request is not waited for. */
static void test_big(void **state)
{
    struct fixture *f = *state;

    join(f, "a", true);
    join(f, "b", true);
    add(f, WRITE, BIG_BYTES, 1);
    struct peer *worker = peers_take_ready(&f->workers, SERVICE_API);
    worker->began_us = NOW_US;
    assert_non_null(queue_take_big(&f->q, worker, NOW));
    add(f, WRITE, 10, 2);
    assert_int_equal(take(f, NOW_US), 2);
}

/* With one writer, requests that may write go to one worker at a time; others read beside it. */
static void test_one_writer(void **state)
{
    struct fixture *f = *state;

    join(f, "a", true);
    join(f, "b", true);
    add(f, WRITE, 10, 1);
    assert_int_equal(take(f, NOW_US), 1);
    struct peer *writer = f->workers.busy[SERVICE_API];
    add(f, WRITE, 10, BUS_BUNDLE_MAX);
    assert_int_equal(take(f, NOW_US + PATIENCE_MIN_US), 0);
    assert_true(decide(f, NOW_US).look_us == NOW_US + GATHER_WRITER_US);
    add(f, READ, 10, 3);
    assert_true(decide(f, NOW_US).look_us == NOW_US + PATIENCE_MIN_US);
    assert_int_equal(take(f, NOW_US + PATIENCE_MIN_US), 3);
    answer(f, writer);
    assert_int_equal(take(f, NOW_US + PATIENCE_MIN_US), BUS_BUNDLE_MAX);
}

/* A hanging writer blocks others only for a while, and not once the queue is full. */
static void test_writer_hangs(void **state)
{
    struct fixture *f = *state;

    join(f, "a", true);
    struct peer *b = join(f, "b", true);
    join(f, "c", true);
    add(f, WRITE, 10, 1);
    assert_int_equal(take(f, NOW_US), 1);
    add(f, WRITE, 10, 2);
    assert_int_equal(take(f, NOW_US + GATHER_WRITER_US - 1), 0);
    assert_int_equal(gather_decide(&f->q, &f->workers, SERVICE_API, b, true, NOW_US).share,
                     BUS_BUNDLE_MAX);
    assert_int_equal(take(f, NOW_US + GATHER_WRITER_US), 2);
    add(f, WRITE, 10, 1);
    assert_int_equal(take(f, NOW_US + GATHER_WRITER_US), 0);
}

/* Workers that do not say that their store has one writer write side by side. */
static void test_many_writers(void **state)
{
    struct fixture *f = *state;

    join(f, "a", false);
    join(f, "b", false);
    add(f, WRITE, 10, 1);
    assert_int_equal(take(f, NOW_US), 1);
    add(f, WRITE, 10, BUS_BUNDLE_MAX);
    assert_int_equal(take(f, NOW_US), BUS_BUNDLE_MAX);
}

static void test_window(void **state)
{
    struct fixture *f = *state;
    struct bus_header ready = {.service = SERVICE_API, .window = 8};

    for (const char *name = "abcd"; *name; name++)
        peers_join(&f->workers, peers_add(&f->workers, name, 1), &ready);
    assert_int_equal(decide(f, NOW_US).share, 0);
    add(f, WRITE, 10, 3);
    assert_int_equal(decide(f, NOW_US).share, 1);
    add(f, WRITE, 10, 6);
    assert_int_equal(decide(f, NOW_US).share, 2);
}

static void test_averages(void **state)
{
    struct pace p = {0};

    (void)state;
    assert_int_equal(pace_expect(&p, 3), 0);
    pace_note(&p, 3, 800);
    pace_note(&p, 3, 0); /* no information */
    assert_int_equal(pace_expect(&p, 3), 800);
    pace_note(&p, 3, 1600);
    assert_int_equal(pace_expect(&p, 3), 900);
    pace_note(&p, 3, UINT32_MAX);
    assert_true(pace_expect(&p, 3) > 500000000);
    pace_note(&p, BUS_OPS_MAX + 1, 800);
    assert_int_equal(pace_expect(&p, BUS_OPS_MAX + 1), 0);
    assert_int_equal(pace_expect(&p, 4), 0);
    assert_true(pace_patience_us(&p) == PATIENCE_MIN_US);
    for (int i = 0; i < 100; i++)
        pace_note_turn(&p, INT64_MAX / 4);
    assert_true(pace_patience_us(&p) == PATIENCE_MAX_US);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_idle),
        ROW(test_gathers),
        ROW(test_patience),
        ROW(test_full),
        ROW(test_big),
        ROW(test_expected_time),
        ROW(test_one_writer),
        ROW(test_writer_hangs),
        ROW(test_many_writers),
        ROW(test_window),
        cmocka_unit_test(test_averages),
    };
    return cmocka_run_group_tests_name("broker_gather", tests, NULL, NULL);
}
