/* The phase of a job at a given time. */
#include "worker/jobs/phases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int named(const char *s)
{
    return phase_of((struct text){s, strlen(s)});
}

static int of_state(const char *s)
{
    return phase_of_state((struct text){s, strlen(s)});
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(PHASE_COUNT, 7);
    assert_null(phase_names[PHASE_COUNT]);
    for (int i = 0; i < PHASE_COUNT; i++)
        assert_int_equal(named(phase_names[i]), i);
    assert_int_equal(named("Setup"), -1);
    assert_int_equal(named(""), -1);
    assert_int_equal(of_state("allocated"), named("allocate"));
    assert_int_equal(of_state("test"), named("test"));
    assert_int_equal(of_state("complete"), -1);
}

static void test_at(void **state)
{
    const struct phase_change changes[] = {
        {-1, 100}, /* waiting */
        {2, 200},
        {3, 300},
        {-1, 400}, /* over */
    };
    static const struct {
        size_t n;
        int64_t at;
        int phase;
    } rows[] = {
        {0, 100, 0}, {1, 100, 0}, {4, 50, 2},  {4, 199, 2},
        {4, 200, 2}, {4, 299, 2}, {4, 300, 3}, {4, 999, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(phase_at(changes, rows[i].n, rows[i].at), rows[i].phase);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
