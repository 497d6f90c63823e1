#include "worker/store/expiry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* With limits of 100 (created), 200 (ended) and 50 (waiting). */
static const struct {
    const char *state;
    int64_t created_ms, since_ms;
    enum job_fate fate;
    const char *comment;
} rows[] = {
    {"complete", 99, 199, JOB_GOES, "old, and over for long enough"},
    {"complete", 100, 199, JOB_STAYS, "not old"},
    {"cancelled", 99, 200, JOB_STAYS, "has just ended"},
    {"completed", 99, 0, JOB_GOES, "nobody knows when it ended"},
    {"running", 1, 1, JOB_STAYS, "active jobs stay"},
    {"reserve", 1, 1, JOB_STAYS, "active jobs stay"},
    {"whatever", 1, 1, JOB_STAYS, "a state that we do not know is active"},
    {"", 1, 1, JOB_STAYS, "no state at all"},
    {"waiting", 49, 49, JOB_IS_CANCELLED, "has waited for too long"},
    {"waiting", 50, 50, JOB_STAYS, "may wait on"},
};

static void test_fate(void **state)
{
    const struct job_limits limits = {100, 200, 50}, wait_for_ever = {100, 200, 0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_age job = {rows[i].state, rows[i].created_ms, rows[i].since_ms};
        if (job_fate(&job, &limits) != rows[i].fate)
            fail_msg("%s", rows[i].comment);
        if (strcmp(job.state, "waiting") == 0)
            assert_int_equal(job_fate(&job, &wait_for_ever), JOB_STAYS);
    }
}

/* The walk counts the things that stay by the time from which it continues. */
static void test_walk(void **state)
{
    struct expiry x = {.limits = {.before_ms = 9, .waiting_before_ms = 7}};

    (void)state;
    assert_int_equal(expiry_end_ms(&x), 9);
    x.limits.waiting_before_ms = 20;
    assert_int_equal(expiry_end_ms(&x), 20);
    expiry_passed(&x, 5, true);
    expiry_passed(&x, 5, false);
    expiry_passed(&x, 5, true);
    assert_int_equal(x.from_ms, 5);
    assert_int_equal(x.kept, 2);
    expiry_passed(&x, 6, false);
    assert_int_equal(x.from_ms, 6);
    assert_int_equal(x.kept, 0);
    expiry_passed(&x, 6, true);
    assert_int_equal(x.kept, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fate),
        cmocka_unit_test(test_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
