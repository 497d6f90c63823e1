/* The verdict on a try, and when a receiver is closed (no tries for a while). */
#include "worker/webhook/receivers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

static const struct config cfg = {
    .webhook_tries = 5, .webhook_age = 100, .webhook_backoff = 1000, .webhook_backoff_max = 6000};

static void test_verdicts(void **state)
{
    static const struct {
        struct outcome o;
        int64_t tries, age_ms, random;
        enum outbox_outcome outcome;
        int64_t pause_ms;
    } rows[] = {
        {{FAULT_NONE, 200, 0}, 1, 0, 0, OUTBOX_DONE, 0},
        {{FAULT_NONE, 299, 0}, 9, 99999, 0, OUTBOX_DONE, 0},
        {{FAULT_STATUS, 400, 0}, 1, 0, 0, OUTBOX_GIVE_UP, 0},
        {{FAULT_STATUS, 410, 0}, 1, 0, 0, OUTBOX_GIVE_UP, 0},
        {{FAULT_STATUS, 408, 0}, 1, 0, 499, OUTBOX_RETRY, 500},
        {{FAULT_STATUS, 425, 0}, 1, 0, 999, OUTBOX_RETRY, 1000},
        {{FAULT_BUSY, 429, 0}, 1, 0, 1000, OUTBOX_RETRY, 1}, /* of up to 1000 */
        {{FAULT_BUSY, 429, 7000}, 1, 0, 0, OUTBOX_RETRY, 7000},
        {{FAULT_BUSY, 503, 7000}, 1, 0, 1000500, OUTBOX_RETRY, 7500},
        {{FAULT_BUSY, 429, 200000}, 1, 0, 0, OUTBOX_GIVE_UP, 0}, /* too late then */
        {{FAULT_STATUS, 302, 0}, 1, 0, 0, OUTBOX_RETRY, 1},
        {{FAULT_SERVER, 500, 0}, 2, 0, 1999, OUTBOX_RETRY, 2000},
        {{FAULT_SERVER, 500, 0}, 3, 0, 3999, OUTBOX_RETRY, 4000},
        {{FAULT_REFUSED, 0, 0}, 4, 0, 5999, OUTBOX_RETRY, 6000}, /* the longest */
        {{FAULT_REFUSED, 0, 0}, 5, 0, 0, OUTBOX_GIVE_UP, 0},
        {{FAULT_TIMEOUT, 0, 0}, 1, 99500, 499, OUTBOX_RETRY, 500},
        {{FAULT_TIMEOUT, 0, 0}, 1, 99500, 500, OUTBOX_GIVE_UP, 0},
        {{FAULT_ADDRESS, 0, 0}, 1, 0, 0, OUTBOX_GIVE_UP, 0},
        {{FAULT_FORBIDDEN, 0, 0}, 1, 0, 0, OUTBOX_GIVE_UP, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int64_t now = 1000000;
        const struct tried t = {.tries = rows[i].tries,
                                .since_ms = now - rows[i].age_ms,
                                .now_ms = now,
                                .random = (uint64_t)rows[i].random};
        int64_t due = now;
        enum outbox_outcome got = verdict(&cfg, &rows[i].o, &t, &due);
        if (got != rows[i].outcome || due - now != rows[i].pause_ms)
            fail_msg("row %zu: %d, %lld", i, (int)got, (long long)(due - now));
    }
}

static void test_faults_of_statuses(void **state)
{
    static const struct {
        int status;
        enum fault fault;
    } rows[] = {{200, FAULT_NONE}, {204, FAULT_NONE},   {301, FAULT_STATUS}, {404, FAULT_STATUS},
                {429, FAULT_BUSY}, {500, FAULT_SERVER}, {503, FAULT_BUSY},   {599, FAULT_SERVER}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(fault_of_status(rows[i].status), rows[i].fault);
}

/* Ends a try at "r" like this; the try must have been admitted. */
static void try_once(struct receivers *all, enum fault fault, int64_t retry_after, int64_t now)
{
    const struct outcome o = {.fault = fault, .retry_after_ms = retry_after};
    struct receiver *r = receivers_get(all, "r", now);

    assert_int_equal(receiver_admit(r, now), ADMIT);
    receiver_done(r, &o, now);
}

static void test_breaker(void **state)
{
    struct receivers *all = receivers_new(8);
    struct receiver *r = receivers_get(all, "r", 0);
    int64_t now = 1000, pause = BREAKER_PAUSE_MS;
    const char *names[4];

    (void)state;
    for (int i = 0; i < BREAKER_FAULTS; i++)
        try_once(all, FAULT_TIMEOUT, 0, now);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(receiver_closed_until(r), now + pause);
        assert_int_equal(receiver_admit(r, now + pause - 1), ADMIT_CLOSED);
        assert_int_equal(receivers_closed(all, now, names, 4), 1);
        assert_string_equal(names[0], "r");
        assert_false(receivers_promise(all, "r", now));
        now += pause;
        /* one try decides */
        assert_int_equal(receiver_admit(r, now), ADMIT);
        assert_int_equal(receiver_admit(r, now), ADMIT_CLOSED);
        assert_false(receivers_promise(all, "r", now));
        receiver_done(r, &(struct outcome){.fault = FAULT_REFUSED}, now);
        pause = pause * 2 < BREAKER_PAUSE_MAX_MS ? pause * 2 : BREAKER_PAUSE_MAX_MS;
    }
    assert_int_equal(receiver_last(r)->fault, FAULT_REFUSED);
    now += pause;
    try_once(all, FAULT_STATUS, 0, now); /* any answer of the receiver shows that it is alive */
    for (int i = 0; i < 8; i++)
        assert_int_equal(receiver_admit(r, now), ADMIT);
    /* tries under way when it fails do not count twice */
    for (int i = 0; i < 8; i++)
        receiver_done(r, &(struct outcome){.fault = FAULT_TIMEOUT}, now);
    assert_int_equal(receiver_closed_until(r), now + BREAKER_PAUSE_MS);
    receivers_free(all);
}

static void test_patience(void **state)
{
    struct receivers *all = receivers_new(8);

    (void)state;
    try_once(all, FAULT_BUSY, 5000, 100);
    struct receiver *r = receivers_get(all, "r", 100);
    assert_int_equal(receiver_admit(r, 5099), ADMIT_CLOSED);
    receivers_rest(all, 5099);
    try_once(all, FAULT_NONE, 0, 5100);
    assert_int_equal(receiver_admit(receivers_get(all, "other", 0), 0), ADMIT);
    receivers_free(all);
}

static void test_turns(void **state)
{
    struct receivers *all = receivers_new(2);
    struct receiver *r = receivers_get(all, "r", 0);
    struct turn turns[4];
    enum admission may = ADMIT_WAIT;

    (void)state;
    assert_null(receivers_next_waiting(all, NULL));
    assert_true(receivers_promise(all, "r", 0));
    assert_true(receivers_promise(all, "r", 0));
    assert_false(receivers_promise(all, "r", 0));
    receivers_promised(all);
    assert_int_equal(receiver_admit(r, 0), ADMIT);
    assert_int_equal(receiver_admit(r, 0), ADMIT);
    assert_int_equal(receiver_admit(r, 0), ADMIT_WAIT);
    for (int i = 0; i < 4; i++)
        receiver_wait(r, &turns[i], i * 1000);
    assert_ptr_equal(receivers_next_waiting(all, NULL), r);
    assert_null(receivers_next_waiting(all, r));
    assert_false(receivers_promise(all, "r", 0));
    assert_null(receiver_next(r, 5000, 5000, &may));
    receiver_done(r, &(struct outcome){.fault = FAULT_NONE}, 5000);
    assert_ptr_equal(receiver_next(r, 5000, 5000, &may), &turns[0]);
    assert_int_equal(may, ADMIT);
    assert_null(receiver_next(r, 5000, 5000, &may));
    /* the event waits too long */
    assert_ptr_equal(receiver_next(r, 6001, 5000, &may), &turns[1]);
    assert_int_equal(may, ADMIT_CLOSED);
    /* the event waits at a receiver that is closed meanwhile */
    receiver_done(r, &(struct outcome){.fault = FAULT_BUSY, .retry_after_ms = 9000}, 6001);
    assert_ptr_equal(receiver_next(r, 6001, 5000, &may), &turns[2]);
    assert_int_equal(may, ADMIT_CLOSED);
    assert_ptr_equal(receiver_next(r, 6001, 5000, &may), &turns[3]);
    assert_null(receivers_next_waiting(all, NULL));
    receivers_free(all);
}

static void test_presence(void **state)
{
    static const struct {
        enum fault fault;
        enum presence presence;
    } rows[] = {{FAULT_SERVER, DOUBTFUL}, {FAULT_REFUSED, DOUBTFUL}, {FAULT_TIMEOUT, AWAY},
                {FAULT_STATUS, PRESENT},  {FAULT_CONNECTING, AWAY},  {FAULT_RESOLVE, AWAY},
                {FAULT_BUSY, DOUBTFUL},   {FAULT_NONE, PRESENT},     {FAULT_SERVER, DOUBTFUL},
                {FAULT_SERVER, DOUBTFUL}, {FAULT_SERVER, DOUBTFUL},  {FAULT_SERVER, DOUBTFUL},
                {FAULT_SERVER, AWAY}};
    struct receivers *all = receivers_new(8);

    (void)state;
    assert_int_equal(receivers_presence(all, "r", 0), PRESENT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        try_once(all, rows[i].fault, 0, 1);
        assert_int_equal(receivers_presence(all, "r", 1), rows[i].presence);
    }
    assert_int_equal(receivers_presence(all, "r", 1 + BREAKER_PAUSE_MS), DOUBTFUL);
    receivers_free(all);
}

/* The number of receivers is bounded; those with a try under way, or closed, are kept. */
static void test_bound(void **state)
{
    struct receivers *all = receivers_new(8);
    struct receiver *active = receivers_get(all, "active", 0);
    char name[32];

    (void)state;
    assert_int_equal(receiver_admit(active, 0), ADMIT);
    for (int i = 0; i < BREAKER_FAULTS; i++)
        try_once(all, FAULT_TIMEOUT, 0, 0);
    struct receiver *closed = receivers_get(all, "r", 0);
    struct receiver *idle = receivers_get(all, "idle", 0);
    receiver_admit(idle, 0);
    receiver_done(idle, &(struct outcome){.fault = FAULT_TIMEOUT}, 0);
    for (int i = 0; i < RECEIVERS_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        receivers_get(all, name, 0);
    }
    assert_ptr_equal(receivers_get(all, "active", 0), active);
    assert_ptr_equal(receivers_get(all, "r", 0), closed);
    assert_int_equal(receivers_presence(all, "idle", 0), PRESENT); /* not known any more */
    receiver_undone(active);
    receivers_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_faults_of_statuses),
        cmocka_unit_test(test_breaker),  cmocka_unit_test(test_patience),
        cmocka_unit_test(test_turns),    cmocka_unit_test(test_presence),
        cmocka_unit_test(test_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
