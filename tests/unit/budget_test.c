#include "frontend/budget.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define KIB ((uint64_t)1024)

static struct tenant *join(struct budget *b, uint8_t number)
{
    struct address_key key = {{number}};

    return budget_join(b, &key);
}

/* Tenants and shares that leave_all() gives back after the test. */
static struct tenant *visitors[1000];
static struct budget_share shares[100000];
static size_t visitors_len, shares_len;

static struct tenant *visit(struct budget *b, uint8_t number)
{
    return visitors[visitors_len++] = join(b, number);
}

static void leave_all(const struct budget *b)
{
    for (; shares_len; shares_len--) {
        budget_give(&shares[shares_len - 1], 0);
        shares[shares_len - 1] = (struct budget_share){0};
    }
    while (visitors_len)
        budget_leave(visitors[--visitors_len]);
    assert_int_equal(b->used, 0);
    assert_null(b->tenants);
}

static void test_a_share_grows_and_shrinks(void **state)
{
    struct budget b = {.max = 1024 * KIB};
    struct tenant *t = join(&b, 1);
    struct budget_share s = {0};

    (void)state;
    assert_true(budget_take(&s, t, 10 * KIB));
    assert_true(budget_take(&s, t, 20 * KIB));
    assert_int_equal(b.used, 30 * KIB);
    budget_give(&s, 5 * KIB);
    assert_int_equal(b.used, 5 * KIB);
    budget_leave(t); /* the share keeps it */
    assert_true(budget_take(&s, t, KIB));
    budget_give(&s, 0);
    assert_int_equal(b.used, 0);
    assert_null(b.tenants);
    budget_give(&s, 0); /* nothing */
}

static void test_tenants_are_shared_by_address(void **state)
{
    struct budget b = {.max = 1024 * KIB};
    struct tenant *t = join(&b, 1);

    (void)state;
    assert_ptr_equal(t, visit(&b, 1));
    assert_ptr_not_equal(t, visit(&b, 2));
    budget_leave(t);
    assert_ptr_equal(t, visit(&b, 1));
    leave_all(&b);
}

/* Takes shares of `step` bytes until one is refused. */
static uint64_t take_all(struct tenant *t, uint64_t step)
{
    uint64_t sum = 0;

    while (budget_take(&shares[shares_len], t, step)) {
        shares_len++;
        sum += step;
    }
    return sum;
}

static void test_an_address_gets_half_of_the_rest(void **state)
{
    struct budget b = {.max = 64 * 1024 * KIB};

    (void)state;
    assert_int_equal(take_all(visit(&b, 1), KIB), 32 * 1024 * KIB);
    assert_int_equal(take_all(visit(&b, 2), KIB), 16 * 1024 * KIB);
    assert_int_equal(take_all(visit(&b, 3), KIB), 8 * 1024 * KIB);
    leave_all(&b);
}

static void test_large_shares_leave_room_for_small_ones(void **state)
{
    struct budget b = {.max = 64 * 1024 * KIB};
    struct budget_share small = {0};

    (void)state;
    for (uint8_t i = 1; i < 20; i++)
        take_all(visit(&b, i), 128 * KIB);
    assert_true(b.used <= 48 * 1024 * KIB);
    assert_true(budget_take(&small, visit(&b, 100), 64 * KIB));
    assert_false(budget_take(&small, visit(&b, 100), 64 * KIB)); /* it would be a large one */
    for (uint8_t i = 101; i < 150; i++)
        take_all(visit(&b, i), KIB);
    assert_true(b.used <= b.max);
    budget_give(&small, 0);
    leave_all(&b);
}

static void test_what_is_there_already_counts(void **state)
{
    struct budget b = {.max = 1024 * KIB};
    struct tenant *t = visit(&b, 1);
    struct budget_share s = {0}, more = {0};

    (void)state;
    budget_force(&s, t, 4096 * KIB);
    assert_int_equal(b.used, 4096 * KIB);
    assert_false(budget_take(&more, t, 1));
    assert_false(budget_take(&more, visit(&b, 2), 1));
    assert_false(budget_take(&more, visit(&b, 2), UINT64_MAX));
    budget_give(&s, 0);
    leave_all(&b);
}

static void test_the_disk_is_shared_by_address(void **state)
{
    struct budget b = {.max = KIB};
    struct budget_share one = {0}, two = {0};
    struct tenant *t = join(&b, 1), *u = join(&b, 2);

    (void)state;
    assert_true(budget_spool(&one, t, 400, 0, 1000));
    assert_false(budget_spool(&one, t, 101, 400, 1000));
    assert_true(budget_spool(&one, t, 100, 400, 1000));
    assert_int_equal(one.bytes, 500);
    assert_false(budget_may_spool(u, 251, 500, 1000));
    assert_true(budget_spool(&two, u, 250, 500, 1000));
    assert_false(budget_spool(&two, u, UINT64_MAX, 750, 1000));
    assert_false(budget_may_spool(u, 1, 2000, 1000)); /* others have too much */
    budget_leave(t);
    budget_unspool(&one);
    budget_unspool(&one); /* nothing */
    budget_unspool(&two);
    budget_leave(u);
    assert_null(b.tenants);
}

static struct address_key key_of(const char *v4, const uint8_t v6[16])
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (v4)
        memcpy(&in.sin_addr, v4, 4);
    else
        memcpy(&in6.sin6_addr, v6, 16);
    return address_key_of(v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6);
}

static bool same(struct address_key a, struct address_key b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void test_keys_of_addresses(void **state)
{
    const uint8_t one[16] = {0x20, 0x01, 0xd, 0xb8, 0, 0, 0, 1, 1},
                  near[16] = {0x20, 0x01, 0xd, 0xb8, 0, 0, 0, 1, 2, 3},
                  far[16] = {0x20, 0x01, 0xd, 0xb8, 0, 0, 0, 2, 1},
                  mapped[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1};
    const struct sockaddr local = {.sa_family = AF_UNIX};

    (void)state;
    assert_true(same(key_of(NULL, one), key_of(NULL, near)));
    assert_false(same(key_of(NULL, one), key_of(NULL, far)));
    assert_true(same(key_of("\x0a\0\0\x01", NULL), key_of(NULL, mapped)));
    assert_false(same(key_of("\x0a\0\0\x02", NULL), key_of(NULL, mapped)));
    assert_true(same(address_key_of(&local), (struct address_key){{0}}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_share_grows_and_shrinks),
        cmocka_unit_test(test_tenants_are_shared_by_address),
        cmocka_unit_test(test_an_address_gets_half_of_the_rest),
        cmocka_unit_test(test_large_shares_leave_room_for_small_ones),
        cmocka_unit_test(test_what_is_there_already_counts),
        cmocka_unit_test(test_the_disk_is_shared_by_address),
        cmocka_unit_test(test_keys_of_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
