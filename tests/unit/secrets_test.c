/* Names, keys and formats of secrets. */
#include "common/log.h"
#include "worker/secrets/data_key.h"
#include "worker/secrets/master_keys.h"
#include "worker/secrets/names.h"
#include "worker/secrets/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

static void test_paths(void **state)
{
    static const struct {
        const char *path;
        bool valid;
    } rows[] = {{"a", true},    {"a/b-c/D_9", true}, {"", false},        {"/", false},
                {"/a", false},  {"a/", false},       {"a//b", false},    {"a.b", false},
                {"a b", false}, {"a\n", false},      {"\xc3\xa9", false}};
    char longest[SECRET_PATH_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (secret_path_valid(text_of(rows[i].path)) != rows[i].valid)
            fail_msg("'%s'", rows[i].path);
    memset(longest, 'x', sizeof longest);
    assert_true(secret_path_valid((struct text){longest, SECRET_PATH_MAX}));
    assert_false(secret_path_valid((struct text){longest, SECRET_PATH_MAX + 1}));
    assert_false(secret_path_valid((struct text){"a\0b", 3}));
}

static void test_names(void **state)
{
    char out[64], *claimed = secret_claimed_name(text_of("J"), text_of("a/b"));

    (void)state;
    assert_true(secret_collection(text_of("a.b@x$"), out, sizeof out));
    assert_string_equal(out, "secrets.a_dot_b_at_x_dollar_");
    size_t len = strlen(out);
    assert_false(secret_collection(text_of("a.b@x$"), out, len));
    assert_true(secret_collection(text_of("a.b@x$"), out, len + 1));
    assert_false(secret_collection((struct text){"a\0b", 3}, out, sizeof out));
    assert_false(secret_collection(text_of(""), out, sizeof out));
    assert_string_equal(claimed, "J:a/b");
    assert_string_equal(secret_path_of(text_of(claimed)).s, "a/b");
    assert_string_equal(secret_path_of(text_of("a/b")).s, "a/b");
    free(claimed);
}

/* Loads keys from the setting. */
static enum err load(const char *keys, const char *uri, struct master_keys *ret)
{
    char *text = strdup(keys);
    struct config cfg = {.secrets_master_key = text};
    enum err e = master_keys_load(&cfg, uri, ret);

    free(text);
    return e;
}

static void test_master_keys(void **state)
{
    const char *mongo = "mongodb://h/d", *sqlite = "sqlite:/nowhere/data.db";
    char *one = master_key_make(), *two = master_key_make(), both[512];
    struct master_keys keys;

    (void)state;
    snprintf(both, sizeof both, "\n %s ,\n%s\n", one, two);
    assert_int_equal(load(both, mongo, &keys), ERR_OK);
    assert_int_equal(keys.len, 2);
    assert_int_equal(keys.keys[1].len, MASTER_KEY_SIZE);
    assert_int_equal(load("", mongo, &keys), ERR_OK);
    assert_int_equal(keys.len, 0);
    assert_int_equal(load("", sqlite, &keys), ERR_OK);
    assert_int_equal(keys.len, 0);
    const char *short_one = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="; /* 32 bytes */
    assert_int_equal(load(short_one, sqlite, &keys), ERR_OK);
    assert_int_equal(load(short_one, mongo, &keys), ERR_INVALID);
    assert_int_equal(load("AAEC", sqlite, &keys), ERR_INVALID);
    assert_int_equal(load(" , ", sqlite, &keys), ERR_INVALID);
    char *path = master_keys_path("sqlite:data.db"), *other = master_keys_path("sqlite:/a/b.db");
    assert_string_equal(path, "secrets-key");
    assert_string_equal(other, "/a/secrets-key");
    assert_null(master_keys_path(mongo));
    free(path);
    free(other);
    free(one);
    free(two);
}

static void fill(struct master_key *key, uint8_t first, size_t len)
{
    for (key->len = 0; key->len < len; key->len++)
        key->bytes[key->len] = (uint8_t)(first + key->len);
}

static void test_seal(void **state)
{
    struct master_keys masters = {.len = 2};
    uint8_t wrapped[SEAL_WRAPPED_SIZE], sealed[3 + SEAL_OVERHEAD], value[3];
    struct seal_key key, again;
    size_t which = 9;

    (void)state;
    fill(&masters.keys[0], 0, 32);
    fill(&masters.keys[1], 1, 96);
    seal_key_make(&key);
    assert_true(seal_key_wrap(&masters.keys[1], &key, wrapped));
    memcpy(again.id, key.id, sizeof key.id);
    struct text w = {(const char *)wrapped, sizeof wrapped};
    assert_true(seal_key_unwrap(&masters, w, &again, &which));
    assert_int_equal(which, 1);
    assert_memory_equal(&again, &key, sizeof key);
    again.id[0] ^= 1;
    assert_false(seal_key_unwrap(&masters, w, &again, &which));
    masters.len = 1;
    assert_false(seal_key_unwrap(&masters, w, &key, &which));

    assert_true(seal_value(&key, text_of("c"), text_of("p"), (struct text){"\0x\0", 3}, sealed));
    struct text s = {(const char *)sealed, sizeof sealed};
    assert_true(seal_open(&key, text_of("c"), text_of("p"), s, value));
    assert_memory_equal(value, "\0x\0", 3);
    assert_false(seal_open(&key, text_of("d"), text_of("p"), s, value));
    assert_false(seal_open(&key, text_of("c"), text_of("q"), s, value));
    assert_false(seal_open(&key, text_of("c"), text_of("p"), (struct text){s.s, s.len - 1}, value));
    assert_false(seal_open(&key, text_of("c"), text_of("p"), (struct text){s.s, 5}, value));
    sealed[20] ^= 1;
    assert_false(seal_open(&key, text_of("c"), text_of("p"), s, value));
}

static void test_data_keys(void **state)
{
    struct master_key master, other;
    uint8_t key[DATA_KEY_SIZE], material[DATA_KEY_MATERIAL], out[DATA_KEY_SIZE];

    (void)state;
    fill(&master, 0, MASTER_KEY_SIZE);
    fill(&other, 1, MASTER_KEY_SIZE);
    memset(key, 7, sizeof key);
    assert_true(data_key_wrap(&master, key, material));
    struct text m = {(const char *)material, sizeof material};
    assert_true(data_key_unwrap(&master, m, out));
    assert_memory_equal(out, key, sizeof key);
    assert_false(data_key_unwrap(&other, m, out));
    assert_false(data_key_unwrap(&master, (struct text){m.s, m.len - 1}, out));
    material[40] ^= 1;
    assert_false(data_key_unwrap(&master, m, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_master_keys), cmocka_unit_test(test_seal),
        cmocka_unit_test(test_data_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
