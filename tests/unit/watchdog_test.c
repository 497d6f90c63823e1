#include "common/watchdog.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LIMIT = 3 };

static void test_turning_is_well(void **state)
{
    struct watchdog w = {0};
    struct beat b = {0};

    (void)state;
    for (int i = 0; i < 10; i++) {
        b.turned++;
        assert_int_equal(watchdog_look(&w, &b, false, false, LIMIT), WATCHDOG_WELL);
    }
}

static void test_still(void **state)
{
    struct watchdog w = {0};
    struct beat b = {.turned = 7};

    (void)state;
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(watchdog_look(&w, &b, false, false, LIMIT), WATCHDOG_WELL);
    assert_int_equal(watchdog_look(&w, &b, false, false, LIMIT), WATCHDOG_STILL);
}

/* Beats and checks have the same period: tolerate a slightly late beat at any limit. */
static void test_a_beat_that_is_late(void **state)
{
    struct watchdog w = {0};
    struct beat b = {0};

    (void)state;
    for (int i = 1; i < 10; i++) {
        b.turned += i % 3 != 0;
        assert_int_equal(watchdog_look(&w, &b, false, false, 1), WATCHDOG_WELL);
    }
    assert_int_equal(watchdog_look(&w, &b, false, false, 1), WATCHDOG_STILL);
}

/* A child that never beats is found, too. */
static void test_never_began(void **state)
{
    struct watchdog w = {0};
    struct beat b = {0};

    (void)state;
    watchdog_look(&w, &b, false, false, LIMIT);
    watchdog_look(&w, &b, false, false, LIMIT);
    assert_int_equal(watchdog_look(&w, &b, false, false, LIMIT), WATCHDOG_STILL);
}

/* Master and children were suspended together: the count restarts. */
static void test_late_look(void **state)
{
    struct watchdog w = {0};
    struct beat b = {.turned = 7};

    (void)state;
    for (int i = 0; i < LIMIT; i++)
        watchdog_look(&w, &b, false, false, LIMIT);
    assert_int_equal(watchdog_look(&w, &b, true, false, LIMIT), WATCHDOG_WELL);
    assert_int_equal(watchdog_look(&w, &b, false, false, LIMIT), WATCHDOG_WELL);
}

static void test_deaf(void **state)
{
    struct watchdog w = {0};
    struct beat b = {0};

    (void)state;
    for (int i = 0; i < 10; i++) { /* no connection waits */
        b.turned++;
        assert_int_equal(watchdog_look(&w, &b, false, false, LIMIT), WATCHDOG_WELL);
    }
    for (int i = 0; i < 10; i++) { /* connections wait and are accepted */
        b.turned++;
        b.accepted++;
        assert_int_equal(watchdog_look(&w, &b, false, true, LIMIT), WATCHDOG_WELL);
    }
    b.paused = 1;
    for (int i = 0; i < 10; i++) { /* the child does not accept on purpose */
        b.turned++;
        assert_int_equal(watchdog_look(&w, &b, false, true, LIMIT), WATCHDOG_WELL);
    }
    b.paused = 0;
    for (int i = 0; i < LIMIT - 1; i++) {
        b.turned++;
        assert_int_equal(watchdog_look(&w, &b, false, true, LIMIT), WATCHDOG_WELL);
    }
    b.turned++;
    assert_int_equal(watchdog_look(&w, &b, false, true, LIMIT), WATCHDOG_DEAF);
}

static void test_health(void **state)
{
    char reason[BEAT_REASON_SIZE];
    struct beat b;

    (void)state;
    assert_true(beat_health(reason)); /* nothing is shared */
    assert_false(beat_read(0, &b));
    beat_share(4, true);
    assert_false(beat_health(reason));
    assert_string_equal(reason, "no process's event loop turns");
    beat_use(2);
    beat_turn();
    beat_accepted();
    assert_true(beat_health(reason));
    assert_true(beat_read(2, &b));
    assert_true(b.turned > 0 && b.turned <= clock_mono_ms());
    assert_int_equal(b.accepted, 1);
    beat_paused(true);
    assert_true(beat_health(reason)); /* a short pause */
    assert_true(beat_read(2, &b) && b.paused);
    beat_paused(false);
    assert_true(beat_read(2, &b) && !b.paused);
    beat_forget(2);
    assert_false(beat_health(reason));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turning_is_well),
        cmocka_unit_test(test_still),
        cmocka_unit_test(test_a_beat_that_is_late),
        cmocka_unit_test(test_never_began),
        cmocka_unit_test(test_late_look),
        cmocka_unit_test(test_deaf),
        cmocka_unit_test(test_health),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
