#include "worker/jobs/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_provisioned(void **state)
{
    static const struct {
        const char *result;
        enum provisioned outcome;
    } rows[] = {
        {"{}", PROVISION_UNKNOWN},
        {"{\"status\": {\"test\": 1}}", PROVISION_UNKNOWN},
        {"{\"provision_status\": \"1\"}", PROVISION_UNKNOWN},
        {"{\"provision_status\": 0}", PROVISION_FINE},
        {"{\"status\": {\"provision\": 0}}", PROVISION_FINE},
        {"{\"provision_status\": 46}", PROVISION_FAILED},
        {"{\"status\": {\"provision\": -1}}", PROVISION_FAILED},
        {"[]", PROVISION_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *result = json_loads(rows[i].result, 0, NULL);
        assert_int_equal(provisioned(result), rows[i].outcome);
        json_decref(result);
    }
}

static void test_retry_is_due(void **state)
{
    (void)state;
    assert_true(retry_is_due("provision", PROVISION_FAILED, 0, 1));
    assert_true(retry_is_due("other", PROVISION_FAILED, 2, 3));
    assert_false(retry_is_due("provision", PROVISION_FAILED, 1, 1));
    assert_false(retry_is_due("provision", PROVISION_FAILED, RETRIES_MAX, 10));
    assert_false(retry_is_due("provision", PROVISION_FINE, 0, 1));
    assert_false(retry_is_due("provision", PROVISION_UNKNOWN, 0, 1));
    assert_false(retry_is_due("cancelled", PROVISION_FAILED, 0, 1));
    assert_false(retry_is_due("complete", PROVISION_FAILED, 0, 1));
    assert_false(retry_is_due("waiting", PROVISION_FAILED, 0, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provisioned),
        cmocka_unit_test(test_retry_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
