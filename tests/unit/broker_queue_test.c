#include "broker/peers.h"
#include "broker/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>
#include <utlist.h>

enum { NOW = 1000, TTL = 100, WORKERS = 4 };

struct fixture {
    struct queue q;
    struct peer frontend, workers[WORKERS];
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
    bool sound = f->q.waiting <= f->q.held;

    queue_free(&f->q);
    sound = sound && !f->q.held && !f->q.waiting && !f->q.bytes && !f->q.lanes && !f->q.by_id;
    for (int i = 0; i < WORKERS; i++)
        sound = sound && !f->workers[i].hand;
    sound = sound && !f->frontend.sent;
    free(f);
    return sound ? 0 : -1;
}

static struct bus_header header_of(char id, const char *key)
{
    struct bus_header h = {.type = BUS_REQUEST, .service = SERVICE_API, .ttl_ms = TTL};

    h.id[0] = (uint8_t)id;
    h.key_len = strlen(key);
    memcpy(h.key, key, h.key_len);
    return h;
}

static enum err add_sized(struct fixture *f, const struct bus_header *h, size_t size)
{
    zmq_msg_t payload;

    assert_int_equal(zmq_msg_init_size(&payload, size), 0);
    enum err e = queue_add(&f->q, h, &payload, &f->frontend, NOW);
    assert_int_equal(zmq_msg_size(&payload), e ? size : 0);
    zmq_msg_close(&payload);
    return e;
}

/* Adds requests from text: "1 2a 3b" are the ids 1, 2, 3, the last two with keys a and b. */
static void add(struct fixture *f, const char *text)
{
    for (; *text; text++) {
        char id = *text++, key[2] = "";
        if (*text && *text != ' ')
            key[0] = *text++;
        struct bus_header h = header_of(id, key);
        assert_int_equal(add_sized(f, &h, 10), ERR_OK);
        if (!*text)
            return;
    }
}

/* Takes a bundle and compares the ids. */
static void take(struct fixture *f, int worker, size_t share, const char *expected)
{
    struct work *works[BUS_BUNDLE_MAX];
    char got[BUS_BUNDLE_MAX + 1];
    size_t n = queue_take(&f->q, SERVICE_API, QUEUE_ALL, share, &f->workers[worker], works, NOW);

    for (size_t i = 0; i < n; i++) {
        got[i] = (char)works[i]->header.id[0];
        assert_ptr_equal(works[i]->worker, &f->workers[worker]);
    }
    got[n] = '\0';
    assert_string_equal(got, expected);
}

static struct work *find(struct fixture *f, char id)
{
    struct bus_header h = header_of(id, "");

    return queue_find(&f->q, h.id);
}

static void answer(struct fixture *f, const char *ids)
{
    for (; *ids; ids++) {
        struct work *w = find(f, *ids);
        assert_non_null(w);
        queue_remove(&f->q, w);
        assert_null(find(f, *ids));
    }
}

static void put_back_hand(struct fixture *f, int worker)
{
    while (f->workers[worker].hand)
        queue_put_back(&f->q, f->workers[worker].hand->prev);
}

static void test_order(void **state)
{
    static const struct {
        const char *added;
        size_t share;
        const char *bundles[5];
    } rows[] = {
        {"1 2 3", 1, {"1", "2", "3", ""}},
        {"1 2 3", 2, {"12", "3", ""}},
        {"1 2 3", BUS_BUNDLE_MAX, {"123", ""}},
        {"1 2 3", 0, {""}},
        /* a lane is taken as a whole, counts as one, and has one bundle at a time */
        {"1a 2 3a 4", 1, {"13", "2", "4", ""}},
        {"1a 2 3a 4", 2, {"132", "4", ""}},
        {"1a 2b 3a 4b", 1, {"13", "24", ""}},
        {"1 2a 3 4b 5a 6 7b", 3, {"1253", "476", ""}},
        {"1a 2a 3a", 1, {"123", ""}},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        add(f, rows[i].added);
        for (int k = 0; k < 5 && rows[i].bundles[k]; k++)
            take(f, k % WORKERS, rows[i].share, rows[i].bundles[k]);
        queue_free(&f->q);
    }
}

static void test_bundle_max(void **state)
{
    struct fixture *f = *state;
    struct work *works[BUS_BUNDLE_MAX];

    for (int key = 0; key < 2; key++) {
        for (char id = 1; id <= BUS_BUNDLE_MAX + 8; id++) {
            struct bus_header h = header_of(id, key ? "k" : "");
            assert_int_equal(add_sized(f, &h, 1), ERR_OK);
        }
        assert_int_equal(
            queue_take(&f->q, SERVICE_API, QUEUE_ALL, 1000, &f->workers[0], works, NOW),
            BUS_BUNDLE_MAX);
        for (int i = 0; i < BUS_BUNDLE_MAX; i++) {
            assert_int_equal(works[i]->header.id[0], i + 1);
            queue_remove(&f->q, works[i]);
        }
        assert_int_equal(
            queue_take(&f->q, SERVICE_API, QUEUE_ALL, 1000, &f->workers[0], works, NOW), 8);
        for (int i = 0; i < 8; i++)
            queue_remove(&f->q, works[i]);
    }
}

static void test_bundle_bytes(void **state)
{
    static const size_t quarter = BUNDLE_BYTES_MAX / 4;
    const size_t sizes[] = {quarter, quarter, quarter, quarter, 1, 7 * quarter, 1};
    struct fixture *f = *state;

    for (int key = 0; key < 2; key++) {
        for (char i = 0; i < 7; i++) {
            struct bus_header h = header_of((char)('1' + i), key ? "k" : "");
            assert_int_equal(add_sized(f, &h, sizes[(size_t)i]), ERR_OK);
        }
        take(f, 0, 32, "1234");
        answer(f, "1234");
        take(f, 0, 32, "5");
        answer(f, "5");
        take(f, 0, 32, "6");
        answer(f, "6");
        take(f, 0, 32, "7");
        answer(f, "7");
    }
}

static void test_lane(void **state)
{
    struct fixture *f = *state;

    add(f, "1a");
    take(f, 0, 1, "1");
    add(f, "2a 3 4a");
    assert_int_equal(queue_runnable(&f->q, SERVICE_API, QUEUE_ALL), 1);
    take(f, 1, 9, "3");
    take(f, 2, 9, "");
    answer(f, "1");
    assert_int_equal(queue_runnable(&f->q, SERVICE_API, QUEUE_ALL), 1);
    add(f, "5");
    take(f, 0, 1, "24"); /* older than 5 */
    add(f, "6a");
    answer(f, "2");
    take(f, 2, 1, "5"); /* 4 is in hand still */
    take(f, 3, 1, "");
    answer(f, "4");
    take(f, 3, 1, "6");
    answer(f, "6");
    assert_null(f->q.lanes);
}

static void test_services_do_not_mix(void **state)
{
    struct fixture *f = *state;
    struct work *works[BUS_BUNDLE_MAX];
    struct bus_header h = header_of('1', "k");

    add(f, "2k");
    h.service = SERVICE_WEBHOOK;
    assert_int_equal(add_sized(f, &h, 1), ERR_OK);
    take(f, 0, 9, "2");
    assert_int_equal(queue_runnable(&f->q, SERVICE_WEBHOOK, QUEUE_ALL), 1);
    assert_int_equal(queue_take(&f->q, SERVICE_WEBHOOK, QUEUE_ALL, 9, &f->workers[1], works, NOW),
                     1);
}

/* Logins may take only a share of the places. */
static void test_logins_leave_room(void **state)
{
    struct fixture *f = *state;
    struct work *works[BUS_BUNDLE_MAX];
    struct bus_header h = header_of('a', "");
    size_t kept = f->q.limit_count;

    f->q.limit_count = 8;
    h.service = SERVICE_LOGIN;
    for (int i = 0; i < 8 / QUEUE_LOGIN_SHARE; i++, h.id[0]++)
        assert_int_equal(add_sized(f, &h, 1), ERR_OK);
    assert_int_equal(add_sized(f, &h, 1), ERR_FULL);
    for (int i = 8 / QUEUE_LOGIN_SHARE; i < 8; i++) {
        struct bus_header other = header_of((char)('0' + i), "");
        assert_int_equal(add_sized(f, &other, 1), ERR_OK);
    }
    assert_int_equal(queue_take(&f->q, SERVICE_LOGIN, QUEUE_ALL, 1, &f->workers[0], works, NOW), 1);
    assert_int_equal(add_sized(f, &h, 1), ERR_OK); /* a request in hand does not count as waiting */
    f->q.limit_count = kept;
}

static void test_put_back(void **state)
{
    static const struct {
        const char *before, *hand, *after, *answered, *again;
    } rows[] = {
        {"1 2 3", "123", "4 5", "", "12345"},
        {"1 2 3", "123", "4 5", "2", "1345"},
        {"1 2 3", "123", "", "13", "2"},
        {"1a 2a 3a", "123", "4a", "", "1234"},
        {"1a 2a 3a", "123", "4a", "1", "234"},
        {"1a 2 3a", "132", "4a 5", "", "13425"},
        {"1a 2b 3a 4b", "1324", "5b 6", "1", "24536"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        add(f, rows[i].before);
        take(f, 0, 32, rows[i].hand);
        add(f, rows[i].after);
        answer(f, rows[i].answered);
        put_back_hand(f, 0);
        take(f, 1, 32, rows[i].again);
        queue_free(&f->q);
    }
}

static void test_find(void **state)
{
    struct fixture *f = *state;

    assert_null(find(f, '1'));
    add(f, "1 2");
    assert_int_equal(find(f, '1')->header.id[0], '1');
    take(f, 0, 1, "1");
    assert_ptr_equal(find(f, '1')->worker, &f->workers[0]);
    assert_null(find(f, '2')->worker);
    assert_null(find(f, '3'));
}

static void test_limit_of_count(void **state)
{
    struct fixture *f = *state;
    struct bus_header h = header_of('9', "");

    queue_init(&f->q, 3, MIB);
    add(f, "1 2a 3a");
    assert_int_equal(add_sized(f, &h, 1), ERR_FULL);
    take(f, 0, 1, "1"); /* requests in hand do not count */
    add(f, "4");
    assert_int_equal(add_sized(f, &h, 1), ERR_FULL);
    put_back_hand(f, 0); /* never refused */
    assert_int_equal(f->q.waiting, 4);
    assert_int_equal(add_sized(f, &h, 1), ERR_FULL);
    assert_null(find(f, '9'));
}

static void test_limit_of_bytes(void **state)
{
    struct fixture *f = *state;
    struct bus_header large = header_of('1', ""), small = header_of('2', "k");

    queue_init(&f->q, 100, MIB);
    assert_int_equal(add_sized(f, &large, 2 * MIB), ERR_OK); /* larger than the limit, but alone */
    assert_int_equal(add_sized(f, &small, 1), ERR_FULL);
    assert_ptr_equal(queue_take_big(&f->q, &f->workers[0], NOW), find(f, '1'));
    assert_int_equal(add_sized(f, &small, 1), ERR_FULL); /* bytes in hand count */
    answer(f, "1");
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(add_sized(f, &small, MIB - sizeof(struct work)), ERR_OK);
    assert_int_equal(add_sized(f, &large, 1), ERR_FULL);
    assert_int_equal(f->q.held, 1);
}

static void test_deadlines(void **state)
{
    static const struct {
        char id;
        const char *key;
        uint32_t ttl;
    } rows[] = {
        {'1', "", 500}, {'2', "k", 400}, {'3', "k", 100}, {'4', "", 300}, {'5', "k", 600},
    };
    struct fixture *f = *state;

    assert_true(queue_next_due(&f->q) == INT64_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bus_header h = header_of(rows[i].id, rows[i].key);
        h.ttl_ms = rows[i].ttl;
        assert_int_equal(add_sized(f, &h, 1), ERR_OK);
    }
    assert_true(queue_next_due(&f->q) == NOW + 100);
    assert_null(queue_due(&f->q, NOW + 99));
    for (const char *late = "34"; *late; late++) {
        struct work *w = queue_due(&f->q, NOW + 300);
        assert_int_equal(w->header.id[0], *late);
        queue_remove(&f->q, w);
    }
    assert_null(queue_due(&f->q, NOW + 300));
    take(f, 0, 1, "1");
    assert_true(queue_next_due(&f->q) == NOW + 400); /* requests in hand have no deadline */
    put_back_hand(f, 0);
    struct work *w = queue_due(&f->q, NOW + 400);
    assert_int_equal(w->header.id[0], '2');
    queue_remove(&f->q, w);
    take(f, 0, 9, "15"); /* the lane lives on */
    assert_true(queue_next_due(&f->q) == INT64_MAX);
}

static void test_long_deadline(void **state)
{
    struct fixture *f = *state;
    struct bus_header h = header_of('1', "");

    h.ttl_ms = UINT32_MAX;
    assert_int_equal(add_sized(f, &h, 1), ERR_OK);
    assert_true(queue_next_due(&f->q) == NOW + (int64_t)UINT32_MAX);
}

static void test_frontend_gone(void **state)
{
    struct fixture *f = *state;
    struct peer other = {0};

    add(f, "1 2a 3a 4a");
    take(f, 0, 1, "1");
    add(f, "5");
    queue_attach(find(f, '4'), &other);
    queue_frontend_gone(&f->q, &f->frontend);
    assert_null(find(f, '2'));
    assert_null(find(f, '3'));
    assert_null(find(f, '5'));
    assert_null(find(f, '1')->frontend);
    assert_int_equal(f->q.waiting, 1);
    take(f, 1, 9, "4");
    queue_attach(find(f, '1'), &other);
    queue_frontend_gone(&f->q, &other);
    assert_null(find(f, '1')->frontend);
    assert_null(find(f, '4')->frontend);
    assert_int_equal(f->q.held, 2);
}

/* After thousands of random steps, each key has run in order, one bundle at a time. */
static void test_random(void **state)
{
    struct fixture *f = *state;
    struct work *works[BUS_BUNDLE_MAX];
    uint32_t added = 0, answered = 0, last[4] = {0};

    srandom(2);
    while (answered < 5000) {
        long dice = random() % 8;
        struct peer *worker = &f->workers[random() % WORKERS];
        if (dice < 4 && f->q.waiting < 200) {
            char key[2] = {(char)("\0abc"[random() % 4]), '\0'};
            struct bus_header h = header_of(0, key);
            added++;
            memcpy(h.id, &added, sizeof added);
            assert_int_equal(add_sized(f, &h, (size_t)random() % 4000), ERR_OK);
        } else if (dice < 6 && !worker->hand) {
            queue_take(&f->q, SERVICE_API, QUEUE_ALL, 1 + (size_t)random() % 8, worker, works, NOW);
        } else if (dice == 6 && worker->hand) {
            struct work *w = worker->hand;
            uint32_t number;
            memcpy(&number, w->header.id, sizeof number);
            if (w->header.key_len) {
                assert_true(number > last[w->header.key[0] - 'a']);
                last[w->header.key[0] - 'a'] = number;
            }
            queue_remove(&f->q, w);
            answered++;
        } else if (dice == 7 && random() % 4 == 0) {
            put_back_hand(f, (int)(worker - f->workers));
        }
    }
    size_t in_hand = 0;
    for (int i = 0; i < WORKERS; i++) {
        struct work *w;
        DL_FOREACH (f->workers[i].hand, w)
            in_hand++;
    }
    assert_int_equal(f->q.held, added - answered);
    assert_int_equal(f->q.waiting + in_hand, f->q.held);
}

/* A worker with a window gets what it has room for, also of a lane, and never more. */
static void test_window(void **state)
{
    struct fixture *f = *state;

    f->workers[0].window = 3;
    add(f, "1 2a 3a 4a 5 6");
    take(f, 0, 2, "123");
    assert_int_equal(f->workers[0].hand_len, 3);
    queue_remove(&f->q, f->workers[0].hand->next); /* 2 */
    take(f, 0, 8, "5");                            /* the lane of 4 is in hand */
    queue_remove(&f->q, f->workers[0].hand->next); /* 3 */
    take(f, 0, 8, "4");
    assert_int_equal(f->workers[0].hand_len, 3);
    take(f, 1, 8, "6");
}

/* ---- workers of two releases ---- */

enum { OLD_OP = 3, NEW_OP = 60, NOBODYS_OP = 200 };

static void add_of(struct fixture *f, char id, unsigned op, const char *key)
{
    struct bus_header h = header_of(id, key);

    h.ttl_ms = 1000;
    h.subject = (uint32_t)(op + 1) << BUS_SUBJECT_OP_SHIFT;
    assert_int_equal(add_sized(f, &h, 10), ERR_OK);
}

static void set_known(struct fixture *f, bool told)
{
    struct bus_ops all = {0}, some = {0};

    bus_ops_add(&all, OLD_OP);
    bus_ops_add(&some, OLD_OP);
    bus_ops_add(&some, NEW_OP);
    f->workers[0].ops = all;
    f->workers[1].ops = some;
    queue_set_known(&f->q, SERVICE_API, told, &all, &some);
}

static void assert_rare(struct fixture *f, int worker, char id)
{
    struct work *w = queue_take_rare(&f->q, SERVICE_API, &f->workers[worker], NOW);

    assert_int_equal(w ? w->header.id[0] : 0, id);
}

static void test_operations_that_some_know(void **state)
{
    struct fixture *f = *state;

    add_of(f, '1', NEW_OP, ""); /* before any worker is there */
    add_of(f, '2', OLD_OP, "");
    set_known(f, true);
    add_of(f, '3', NEW_OP, "");
    add_of(f, '4', NOBODYS_OP, "");
    add(f, "5"); /* without an operation */
    take(f, 0, 8, "25");
    assert_rare(f, 0, 0);
    assert_rare(f, 1, '1');
    assert_rare(f, 1, '3');
    assert_rare(f, 1, 0);
    queue_put_back(&f->q, find(f, '3'));
    assert_rare(f, 0, 0);
    assert_rare(f, 1, '3');
}

/* A request of an operation that no worker knows ends before its deadline, unless one joins. */
static void test_operation_that_nobody_knows(void **state)
{
    struct fixture *f = *state;

    set_known(f, true);
    add_of(f, '1', NOBODYS_OP, "");
    assert_true(queue_is_unknown(&f->q, find(f, '1')));
    assert_true(queue_next_due(&f->q) < NOW + 1000);
    set_known(f, false);
    assert_false(queue_is_unknown(&f->q, find(f, '1')));
    assert_true(queue_next_due(&f->q) == NOW + 1000);
    take(f, 0, 8, "1");
}

/* A lane keeps its order: later requests wait for one that only some workers know. */
static void test_lane_of_two_releases(void **state)
{
    struct fixture *f = *state;

    set_known(f, true);
    add_of(f, '1', OLD_OP, "a");
    add_of(f, '2', NEW_OP, "a");
    add_of(f, '3', OLD_OP, "a");
    take(f, 0, 8, "1");
    assert_rare(f, 1, 0);
    answer(f, "1");
    take(f, 0, 8, "");
    assert_rare(f, 1, '2');
    take(f, 0, 8, "");
    answer(f, "2");
    take(f, 0, 8, "3");
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_order),
        ROW(test_bundle_max),
        ROW(test_bundle_bytes),
        ROW(test_lane),
        ROW(test_services_do_not_mix),
        ROW(test_logins_leave_room),
        ROW(test_put_back),
        ROW(test_find),
        ROW(test_limit_of_count),
        ROW(test_limit_of_bytes),
        ROW(test_deadlines),
        ROW(test_long_deadline),
        ROW(test_frontend_gone),
        ROW(test_window),
        ROW(test_random),
        ROW(test_operations_that_some_know),
        ROW(test_operation_that_nobody_knows),
        ROW(test_lane_of_two_releases),
    };
    return cmocka_run_group_tests_name("broker_queue", tests, NULL, NULL);
}
