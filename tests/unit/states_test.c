#include "worker/jobs/states.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *from, *to;
    bool allowed;
    const char *comment;
} rows[] = {
    {"waiting", "running", true, "forward"},
    {"waiting", "complete", true, "a late result of a job that went back"},
    {"setup", "test", true, "forward over phases"},
    {"test", "setup", false, "never backwards"},
    {"test", "test", true, "the same again"},
    {"running", "waiting", false, "an agent cannot put a job back"},
    {"cancelled", "provision", false, "a cancel is final for phases"},
    {"cancelled", "complete", true, "ends as the agent's last post says"},
    {"cancelled", "completed", true, "the other text of the end"},
    {"complete", "setup", false, "over is over"},
    {"complete", "cancelled", false, "a cancel does not replace an end"},
    {"complete", "completed", true, "the last post counts"},
    {"completed", "complete", true, "the last post counts"},
    {"cancelled", "whatever", false, "unknown text does not replace an end"},
    {"test", "whatever", true, "unknown text replaces any active state"},
    {"whatever", "setup", true, "unknown text is replaced by any"},
    {"whatever", "waiting", true, "unknown text is replaced by any"},
};

static void test_replacement(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *list[STATES_MAX + 1];
        bool allowed = true;
        size_t n = states_not_replaced_by(rows[i].to, list);
        assert_null(list[n]);
        for (size_t k = 0; k < n; k++)
            allowed &= strcmp(list[k], rows[i].from) != 0;
        if (allowed != rows[i].allowed || state_may_follow(rows[i].from, rows[i].to) != allowed)
            fail_msg("%s -> %s: %s", rows[i].from, rows[i].to, rows[i].comment);
    }
}

static void test_itself(void **state)
{
    static const char *const all[] = {"waiting", "test", "cancelled", "complete", "completed"};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_true(state_may_follow(all[i], all[i]));
}

static void test_over(void **state)
{
    const char *const *over = states_over();

    (void)state;
    assert_string_equal(over[0], "cancelled");
    assert_string_equal(over[1], "complete");
    assert_string_equal(over[2], "completed");
    assert_null(over[3]);
    assert_true(state_is_over("complete"));
    assert_false(state_is_over("Complete"));
    assert_false(state_is_over("reserve"));
}

static void test_complete(void **state)
{
    (void)state;
    assert_true(state_is_complete("complete"));
    assert_true(state_is_complete("completed"));
    assert_false(state_is_complete("cancelled"));
    assert_false(state_is_complete("cleanup"));
    assert_false(state_is_complete("whatever"));
}

static void test_not_leased(void **state)
{
    const char *const *list = states_not_leased();
    size_t n = 0;

    (void)state;
    for (; list[n]; n++)
        assert_true(state_is_over(list[n]) || strcmp(list[n], "waiting") == 0);
    assert_int_equal(n, 4);
    assert_null(states_over()[3]); /* a list of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replacement), cmocka_unit_test(test_itself),
        cmocka_unit_test(test_over),        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_not_leased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
