/* Keys of submissions. */
#include "tests/store/suite.h"

#include "common/clock.h"

#include <stdio.h>

static struct submit_key key_of(const char *key, const char *body, const char *job_id)
{
    struct submit_key k = {.received_us = clock_wall_us()};

    snprintf(k.key, sizeof k.key, "%s", key);
    snprintf(k.body, sizeof k.body, "%s", body);
    snprintf(k.job_id, sizeof k.job_id, "%s", job_id);
    return k;
}

static void test_keys(void **state)
{
    struct stores *t = *state;
    char one[ID_SIZE], two[ID_SIZE];
    int64_t long_ago = clock_wall_us() / 1000 - 86400000;

    new_id(one);
    new_id(two);
    struct submit_key keys[] = {key_of(one, "a", "first"), key_of(one, "b", "second"),
                                key_of(one, "a", "third"), key_of(two, "a", "fourth")};
    int64_t received_us = keys[0].received_us;
    assert_int_equal(store_submit_keys(t->a, keys, 4, long_ago), ERR_OK);
    assert_int_equal(keys[0].err, ERR_OK);
    assert_false(keys[0].again);
    assert_int_equal(keys[1].err, ERR_CONFLICT);
    assert_int_equal(keys[2].err, ERR_OK);
    assert_true(keys[2].again);
    assert_string_equal(keys[2].job_id, "first");
    assert_int_equal(keys[2].received_us, received_us);
    assert_int_equal(keys[3].err, ERR_OK);
    assert_false(keys[3].again);
    struct submit_key late = key_of(one, "b", "fifth");
    assert_int_equal(store_submit_keys(t->b, &late, 1, clock_wall_us() / 1000 + 1000), ERR_OK);
    assert_int_equal(late.err, ERR_OK);
    assert_false(late.again);
    late = key_of(one, "b", "sixth");
    assert_int_equal(store_submit_keys(t->a, &late, 1, long_ago), ERR_OK);
    assert_true(late.again);
    assert_string_equal(late.job_id, "fifth");
}

static void test_expiry(void **state)
{
    struct stores *t = *state;
    char one[ID_SIZE];
    int64_t now_ms = clock_wall_us() / 1000;

    new_id(one);
    struct submit_key k = key_of(one, "a", "first");
    assert_int_equal(store_submit_keys(t->a, &k, 1, 0), ERR_OK);
    struct expiry x = {.kind = EXPIRY_KEYS, .limits.before_ms = now_ms - 60000};
    assert_int_equal(store_expire(t->a, &x), ERR_OK);
    assert_int_equal(store_submit_keys(t->a, &k, 1, 0), ERR_OK);
    assert_true(k.again);
    x = (struct expiry){.kind = EXPIRY_KEYS, .limits.before_ms = now_ms + 60000};
    assert_int_equal(store_expire(t->a, &x), ERR_OK);
    assert_true(x.removed >= 1);
    assert_int_equal(store_submit_keys(t->a, &k, 1, 0), ERR_OK);
    assert_false(k.again);
}

const struct CMUnitTest keys_suite[] = {
    cmocka_unit_test(test_keys),
    cmocka_unit_test(test_expiry),
};
SUITE_LEN(keys);
