/* The limit of log lines that a client can cause. */
#include "common/log_quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { LIMIT = 3, MINUTE = 60000 };

/* How many of n lines are taken. */
static int taken(const char *kind, const char *about, int n, int64_t now)
{
    int count = 0;

    for (int i = 0; i < n; i++)
        count += log_quota_take(kind, about, strlen(about), now);
    return count;
}

static void test_an_address_and_a_kind(void **state)
{
    const char *kind;

    (void)state;
    log_quota_setup(LIMIT);
    assert_int_equal(taken("a", "10.0.0.1", 9, MINUTE), LIMIT);
    assert_int_equal(taken("a", "10.0.0.2", 9, MINUTE), LIMIT);
    assert_int_equal(taken("b", "10.0.0.1", 9, MINUTE), LIMIT);
    assert_int_equal(taken("a", "", 99, MINUTE + 1), LOG_QUOTA_KIND * LIMIT);
    assert_int_equal(taken("b", "", 1, MINUTE + 1), 1);
    assert_int_equal(log_quota_left_out(2 * MINUTE - 1, &kind), 0);
    /* The next minute begins anew, and tells. */
    assert_int_equal(log_quota_left_out(2 * MINUTE, &kind), 3 * 6 + 99 - LOG_QUOTA_KIND * LIMIT);
    assert_string_equal(kind, "a");
    assert_int_equal(log_quota_left_out(2 * MINUTE, &kind), 0);
    assert_int_equal(taken("a", "10.0.0.1", 9, 2 * MINUTE), LIMIT);
}

static void test_networks(void **state)
{
    (void)state;
    log_quota_setup(LIMIT);
    assert_int_equal(taken("a", "2001:db8::1", 2, 0), 2);
    assert_int_equal(taken("a", "2001:db8::ffff:2", 2, 0), 1); /* of the same /64 */
    assert_int_equal(taken("a", "2001:db8:0:1::1", 2, 0), 2);
    assert_int_equal(taken("a", "::ffff:10.0.0.1", 2, 0), 2);
    assert_int_equal(taken("a", "::ffff:10.0.0.2", 2, 0), 2);
}

static void test_more_addresses_than_places(void **state)
{
    char address[24];
    int count = 0;

    (void)state;
    log_quota_setup(LIMIT);
    for (int i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        count += log_quota_take("a", address, strlen(address), 0);
    }
    assert_in_range(count, 700, 1024);
    assert_int_equal(taken("a", "10.0.0.0", 9, 0), LIMIT - 1); /* it has its place */
}

static void test_no_limit(void **state)
{
    const char *kind;

    (void)state;
    log_quota_setup(0);
    assert_int_equal(taken("a", "10.0.0.1", 9999, 0), 9999);
    assert_int_equal(taken("a", "", 9999, 0), 9999);
    assert_int_equal(log_quota_left_out(MINUTE, &kind), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_and_a_kind),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_more_addresses_than_places),
        cmocka_unit_test(test_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
