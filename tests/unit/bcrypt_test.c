#include "worker/auth/bcrypt.h"
#include "worker/encoding/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ROUNDS  8 /* the least that the setting allows: these tests hash a lot */
#define TEXT(s) ((struct text){s, sizeof(s) - 1})

static void test_hash_and_check(void **state)
{
    char hash[BCRYPT_HASH_SIZE], other[BCRYPT_HASH_SIZE];

    (void)state;
    assert_int_equal(bcrypt_hash(TEXT("secret"), ROUNDS, hash), ERR_OK);
    assert_int_equal(bcrypt_hash(TEXT("secret"), ROUNDS, other), ERR_OK);
    assert_int_equal(strlen(hash), 60);
    assert_memory_equal(hash, "$2b$08$", 7);
    assert_string_not_equal(hash, other); /* a salt of its own */
    assert_true(bcrypt_check(hash, TEXT("secret"), ROUNDS, 0));
    assert_true(bcrypt_check(hash, TEXT("secret"), ROUNDS, 0)); /* from memory */
    assert_false(bcrypt_check(hash, TEXT("secreT"), ROUNDS, 0));
    assert_false(bcrypt_check(hash, TEXT("secret2"), ROUNDS, 0));
    assert_false(bcrypt_check(hash, TEXT(""), ROUNDS, 0));
    assert_false(bcrypt_check(hash, TEXT("secret\0"), ROUNDS, 0));
    assert_false(bcrypt_check(NULL, TEXT("secret"), ROUNDS, 0));
}

static void test_what_cannot_be_hashed(void **state)
{
    char hash[BCRYPT_HASH_SIZE];

    (void)state;
    assert_int_equal(bcrypt_hash(TEXT(""), ROUNDS, hash), ERR_INVALID);
    assert_int_equal(bcrypt_hash(TEXT("a\0b"), ROUNDS, hash), ERR_INVALID);
}

static void test_known_hashes(void **state)
{
    /* Test vectors of crypt_blowfish. */
    static const struct {
        const char *hash, *secret;
    } rows[] = {
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
        {"$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
        {"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
        {"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text secret = {rows[i].secret, strlen(rows[i].secret)};
        if (!bcrypt_check(rows[i].hash, secret, ROUNDS, 0))
            fail_msg("%s", rows[i].hash);
        secret.len--;
        assert_false(bcrypt_check(rows[i].hash, secret, ROUNDS, 0));
    }
}

static void test_no_bcrypt_hashes(void **state)
{
    static const char *const rows[] = {
        "",
        "secret",
        "$6$salt$hash",
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", /* would take a day */
        "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$xx$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "************************************************************",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (bcrypt_check(rows[i], TEXT("U*U"), ROUNDS, 0))
            fail_msg("%s", rows[i]);
}

/* bcrypt uses 72 bytes: longer secrets are cut, as by the existing tools. */
static void test_long_secrets(void **state)
{
    char hash[BCRYPT_HASH_SIZE], secret[200];

    (void)state;
    memset(secret, 'x', sizeof secret);
    assert_int_equal(bcrypt_hash((struct text){secret, sizeof secret}, ROUNDS, hash), ERR_OK);
    assert_true(bcrypt_check(hash, (struct text){secret, sizeof secret}, ROUNDS, 0));
    assert_true(bcrypt_check(hash, (struct text){secret, 72}, ROUNDS, 0));
    assert_false(bcrypt_check(hash, (struct text){secret, 71}, ROUNDS, 0));
}

static double seconds_of(const char *hash, struct text secret, int64_t now_ms)
{
    struct timespec a, b;
    bool right;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    right = bcrypt_check(hash, secret, ROUNDS, now_ms);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    (void)right;
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* The fastest of a few tries: load on the machine only adds time. */
static double least(const char *hash, const char *secret)
{
    double best = 1e9;

    for (int i = 0; i < 9; i++) {
        double s = seconds_of(hash, (struct text){secret, strlen(secret)}, 0);
        best = s < best ? s : best;
    }
    return best;
}

/* The time of a check must not reveal whether a client exists, whatever the rounds of its hash. */
static void test_refusals_cost_the_same(void **state)
{
    char cheap[BCRYPT_HASH_SIZE], dear[BCRYPT_HASH_SIZE];

    (void)state;
    assert_int_equal(bcrypt_hash(TEXT("secret"), 5, cheap), ERR_OK);
    assert_int_equal(bcrypt_hash(TEXT("secret"), 10, dear), ERR_OK);
    double base = least(dear, "wrong"); /* the reference is now 10 rounds */
    const double others[] = {least(cheap, "wrong"), least(NULL, "wrong"), least("junk", "wrong"),
                             least(cheap, "")};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] < 0.8 * base || others[i] > 1.25 * base)
            fail_msg("refusal %zu takes %.1f ms, a wrong secret %.1f ms", i, others[i] * 1e3,
                     base * 1e3);
}

static void test_memory_of_right_secrets(void **state)
{
    const int64_t later = (int64_t)BCRYPT_REMEMBERED * 1000 + 1;
    char hash[BCRYPT_HASH_SIZE];

    (void)state;
    assert_int_equal(bcrypt_hash(TEXT("another secret"), 10, hash), ERR_OK);
    double first = seconds_of(hash, TEXT("another secret"), 1000);
    double second = seconds_of(hash, TEXT("another secret"), 1001);
    double late = seconds_of(hash, TEXT("another secret"), 1000 + later);
    assert_true(second < first / 10);
    assert_true(late > first / 4);
    /* with a new hash of the client, the old secret is wrong */
    assert_int_equal(bcrypt_hash(TEXT("a new secret"), ROUNDS, hash), ERR_OK);
    assert_false(bcrypt_check(hash, TEXT("another secret"), ROUNDS, 1000 + later));
}

static void test_sha256(void **state)
{
    char text[SHA256_TEXT_SIZE];

    (void)state;
    sha256_text(TEXT("abc"), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_and_check),
        cmocka_unit_test(test_what_cannot_be_hashed),
        cmocka_unit_test(test_known_hashes),
        cmocka_unit_test(test_no_bcrypt_hashes),
        cmocka_unit_test(test_long_secrets),
        cmocka_unit_test(test_refusals_cost_the_same),
        cmocka_unit_test(test_memory_of_right_secrets),
        cmocka_unit_test(test_sha256),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
