#include "worker/auth/token.h"

#include "common/buf.h"
#include "worker/encoding/base64.h"

#include <jwt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY    "0123456789abcdef0123456789abcdef"
#define OTHER  "another key of thirty-two bytes!"
#define NOW    1700000000
#define LEEWAY 5
#define HS256  "{\"alg\": \"HS256\", \"typ\": \"JWT\"}"
#define GOOD   "{\"exp\": 1700000600, \"iat\": 1700000000, \"sub\": \"access_token\"}"

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

static struct token_keys keys_of(const char *setting)
{
    struct token_keys k;

    assert_int_equal(token_keys_split(setting, &k), ERR_OK);
    return k;
}

/* A token of any header and payload with this signature. */
static char *forge(const char *header, const char *payload, const char *signature)
{
    struct buf b = BUF_INIT(TOKEN_MAX);

    assert_int_equal(base64_encode(header, strlen(header), BASE64_URL, &b), ERR_OK);
    assert_int_equal(buf_add(&b, ".", 1), ERR_OK);
    assert_int_equal(base64_encode(payload, strlen(payload), BASE64_URL, &b), ERR_OK);
    assert_int_equal(buf_printf(&b, ".%s", signature), ERR_OK);
    return b.data;
}

/* A token of these claims, signed by libjwt. */
static char *sign(const char *claims, jwt_alg_t alg, const char *key)
{
    jwt_t *jwt;

    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grants_json(jwt, claims), 0);
    assert_int_equal(jwt_set_alg(jwt, alg, (const unsigned char *)key, key ? (int)strlen(key) : 0),
                     0);
    char *token = jwt_encode_str(jwt);
    jwt_free(jwt);
    assert_non_null(token);
    return token;
}

static enum token_fault fault_of(const char *token, const char *setting)
{
    struct token_keys keys = keys_of(setting);
    json_t *claims = NULL;
    enum token_fault f = token_decode(&keys, text_of(token), NOW, LEEWAY, &claims);

    assert_int_equal(claims != NULL, f == TOKEN_OK);
    json_decref(claims);
    token_keys_free(&keys);
    return f;
}

static const struct {
    const char *claims;
    enum token_fault fault;
} claim_rows[] = {
    {GOOD, TOKEN_OK},
    {"{\"iat\": 1700000000, \"sub\": \"s\"}", TOKEN_WITHOUT_EXP},
    {"{\"exp\": 1700000600, \"sub\": \"s\"}", TOKEN_WITHOUT_IAT},
    {"{\"exp\": 1700000600, \"iat\": 1700000000}", TOKEN_WITHOUT_SUB},
    {"{}", TOKEN_WITHOUT_EXP},
    {"{\"exp\": 1, \"sub\": \"s\"}", TOKEN_WITHOUT_IAT},
    /* times, with the leeway */
    {"{\"exp\": 1699999996, \"iat\": 1, \"sub\": \"s\"}", TOKEN_OK},
    {"{\"exp\": 1699999995, \"iat\": 1, \"sub\": \"s\"}", TOKEN_EXPIRED},
    {"{\"exp\": 0, \"iat\": 0, \"sub\": \"s\"}", TOKEN_EXPIRED},
    {"{\"exp\": -5, \"iat\": 0, \"sub\": \"s\"}", TOKEN_EXPIRED},
    {"{\"exp\": 1700009999, \"iat\": 1700000005, \"sub\": \"s\"}", TOKEN_OK},
    {"{\"exp\": 1700009999, \"iat\": 1700000006, \"sub\": \"s\"}", TOKEN_EARLY},
    {"{\"exp\": 1, \"iat\": 1700009999, \"sub\": \"s\"}", TOKEN_EARLY},
    {"{\"exp\": 1700009999, \"iat\": 1, \"nbf\": 1700000006, \"sub\": \"s\"}", TOKEN_EARLY},
    {"{\"exp\": 1700009999.5, \"iat\": 1700000000.25, \"sub\": \"s\"}", TOKEN_OK},
    /* types */
    {"{\"exp\": \"1700000600\", \"iat\": 1, \"sub\": \"s\"}", TOKEN_UNDECODABLE},
    {"{\"exp\": 1700000600, \"iat\": \"x\", \"sub\": \"s\"}", TOKEN_CLAIM},
    {"{\"exp\": 1700000600, \"iat\": true, \"sub\": \"s\"}", TOKEN_CLAIM},
    {"{\"exp\": 1700000600, \"iat\": 1, \"sub\": 5}", TOKEN_CLAIM},
    {"{\"exp\": 1700000600, \"iat\": 1, \"sub\": \"s\", \"aud\": \"x\"}", TOKEN_AUDIENCE},
    {"{\"exp\": 1700000600, \"iat\": 1, \"sub\": \"s\", \"aud\": [\"\"]}", TOKEN_AUDIENCE},
    {"{\"exp\": 1700000600, \"iat\": 1, \"sub\": \"s\", \"aud\": 5}", TOKEN_AUDIENCE},
    {"{\"exp\": 1, \"iat\": 1, \"sub\": \"s\", \"aud\": \"x\"}", TOKEN_EXPIRED},
    {"{\"exp\": 1700000600, \"iat\": 1, \"sub\": \"s\", \"aud\": \"\"}", TOKEN_OK},
    {"{\"exp\": 1700000600, \"iat\": 1, \"sub\": \"s\", \"aud\": []}", TOKEN_OK},
    {"{\"exp\": 1700000600, \"iat\": 1, \"sub\": \"s\", \"aud\": null}", TOKEN_OK},
    {"{\"exp\": 1700000600, \"iat\": 1, \"nbf\": \"x\", \"sub\": \"s\"}", TOKEN_CLAIM},
    {"{\"exp\": null, \"iat\": 1, \"sub\": \"s\"}", TOKEN_WITHOUT_EXP},
};

static void test_claims(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof claim_rows / sizeof *claim_rows; i++) {
        char *token = sign(claim_rows[i].claims, JWT_ALG_HS256, KEY);
        enum token_fault f = fault_of(token, KEY);
        if (f != claim_rows[i].fault)
            fail_msg("%s: fault %d", claim_rows[i].claims, (int)f);
        free(token);
    }
}

static void test_algorithm_is_pinned(void **state)
{
    static const struct {
        jwt_alg_t alg;
        const char *key;
    } rows[] = {{JWT_ALG_NONE, NULL}, {JWT_ALG_HS384, KEY}, {JWT_ALG_HS512, KEY}};
    static const char *const headers[] = {
        "{\"alg\": \"none\"}",  "{\"alg\": \"NONE\"}",
        "{\"alg\": \"hs256\"}", "{\"alg\": \"RS256\"}",
        "{\"alg\": \"\"}",      "{\"alg\": 256}",
        "{\"alg\": null}",      "{}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *token = sign(GOOD, rows[i].alg, rows[i].key);
        assert_int_equal(fault_of(token, KEY), TOKEN_ALGORITHM);
        free(token);
    }
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char *token = forge(headers[i], GOOD, "AAAA"), *bare = forge(headers[i], GOOD, "");
        assert_int_equal(fault_of(token, KEY), TOKEN_ALGORITHM);
        assert_int_equal(fault_of(bare, KEY), TOKEN_ALGORITHM);
        free(token);
        free(bare);
    }
}

static void test_signature(void **state)
{
    char *token = sign(GOOD, JWT_ALG_HS256, KEY), *other = sign(GOOD, JWT_ALG_HS256, OTHER);
    char *forged = forge(HS256, GOOD, strrchr(token, '.') + 1), *none = forge(HS256, GOOD, "");

    (void)state;
    assert_int_equal(fault_of(other, KEY), TOKEN_SIGNATURE);
    assert_int_equal(fault_of(none, KEY), TOKEN_SIGNATURE);
    assert_int_equal(fault_of(forged, KEY), TOKEN_SIGNATURE);     /* its header has other bytes */
    for (size_t i = strlen(token) - 42; i < strlen(token); i++) { /* 42 digits hold whole bits */
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(fault_of(token, KEY), TOKEN_SIGNATURE);
        token[i] = kept;
        if (i + 2 == strlen(token))
            break;
    }
    token[strlen(token) - 1] = '\0';
    assert_int_equal(fault_of(token, KEY), TOKEN_SIGNATURE);
    free(token);
    free(other);
    free(forged);
    free(none);
}

static void test_what_is_no_token(void **state)
{
    static const char *const rows[] = {
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "not a token",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.",
        "eyJhbGciOiJIUzI1NiJ9..",
        "eyJhbGciOiJIUzI1NiJ9.e30",          /* two parts */
        "eyJhbGciOiJIUzI1NiJ9.e30.x.y",      /* four */
        "eyJhbGciOiJIUzI1NiJ9.bm90anNvbg.x", /* the payload is no JSON */
        "eyJhbGciOiJIUzI1NiJ9.WzFd.x",       /* a list */
        "WzFd.e30.x",
        "e!.e30.x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (fault_of(rows[i], KEY) != TOKEN_UNDECODABLE)
            fail_msg("%s", rows[i]);
}

static void test_huge_and_odd_bytes(void **state)
{
    struct token_keys keys = keys_of(KEY);
    const size_t size = (size_t)1 << 20;
    char *huge = malloc(size), *token = sign(GOOD, JWT_ALG_HS256, KEY);
    json_t *claims = NULL;

    (void)state;
    memset(huge, 'a', size);
    assert_int_equal(token_decode(&keys, (struct text){huge, size}, NOW, LEEWAY, &claims),
                     TOKEN_UNDECODABLE);
    for (size_t i = 0; i < size; i += 100)
        huge[i] = '.';
    assert_int_equal(token_decode(&keys, (struct text){huge, size}, NOW, LEEWAY, &claims),
                     TOKEN_UNDECODABLE);
    memcpy(huge, token, strlen(token) + 1); /* a good one, then a NUL */
    assert_int_equal(
        token_decode(&keys, (struct text){huge, strlen(token) + 2}, NOW, LEEWAY, &claims),
        TOKEN_UNDECODABLE);
    assert_null(claims);
    free(huge);
    free(token);
    token_keys_free(&keys);
}

static void test_encode(void **state)
{
    struct token_keys keys = keys_of(KEY);
    json_t *permissions =
        json_pack("{s:s, s:{s:i}}", "client_id", "c\xc3\xa9", "max_priority", "*", 3);
    json_t *claims = NULL;
    char *token = token_encode(&keys, permissions, NULL, NOW, 600);
    json_int_t exp, iat;
    const char *sub;
    json_t *inside;

    (void)state;
    assert_int_equal(token_decode(&keys, text_of(token), NOW + 604, LEEWAY, &claims), TOKEN_OK);
    assert_int_equal(json_unpack(claims, "{s:I, s:I, s:s, s:o!}", "exp", &exp, "iat", &iat, "sub",
                                 &sub, "permissions", &inside),
                     0);
    assert_int_equal(exp, NOW + 600);
    assert_int_equal(iat, NOW);
    assert_string_equal(sub, "access_token");
    assert_true(json_equal(inside, permissions));
    json_decref(claims);
    assert_int_equal(token_decode(&keys, text_of(token), NOW + 605, LEEWAY, &claims),
                     TOKEN_EXPIRED);
    json_decref(permissions);
    free(token);
    token_keys_free(&keys);
}

/* The old key is accepted until it is removed, so tokens survive a change of keys. */
static void test_rotation(void **state)
{
    struct token_keys first = keys_of(OTHER), both = keys_of(KEY "\n" OTHER);
    json_t *permissions = json_object();
    char *old = token_encode(&first, permissions, NULL, NOW, 600);
    char *new = token_encode(&both, permissions, NULL, NOW, 600);

    (void)state;
    assert_int_equal(fault_of(old, OTHER), TOKEN_OK);
    assert_int_equal(fault_of(old, KEY "\n" OTHER), TOKEN_OK);
    assert_int_equal(fault_of(old, KEY "," OTHER "\r\n"), TOKEN_OK);
    assert_int_equal(fault_of(old, KEY), TOKEN_SIGNATURE);
    assert_int_equal(fault_of(new, KEY), TOKEN_OK);
    assert_int_equal(fault_of(new, OTHER), TOKEN_SIGNATURE);
    json_decref(permissions);
    free(old);
    free(new);
    token_keys_free(&first);
    token_keys_free(&both);
}

static void test_split(void **state)
{
    struct token_keys k = keys_of("\n,one,,three\r\nfour\n\n");

    (void)state;
    assert_int_equal(k.len, 3);
    assert_memory_equal(k.keys[1].s, "three", k.keys[1].len);
    assert_int_equal(token_keys_shortest(&k), 3);
    token_keys_free(&k);
    k = keys_of("");
    assert_int_equal(k.len, 0);
    assert_int_equal(token_keys_shortest(&k), 0);
    token_keys_free(&k);
    assert_int_equal(token_keys_split("1,2,3,4,5,6,7,8,9", &k), ERR_INVALID);
}

static void test_answers(void **state)
{
    (void)state;
    assert_int_equal(token_answer(TOKEN_EXPIRED).status, 401);
    assert_string_equal(token_answer(TOKEN_EXPIRED).text, "Token has expired");
    assert_int_equal(token_answer(TOKEN_EARLY).status, 401);
    assert_int_equal(token_answer_old(TOKEN_EARLY).status, 403);
    assert_string_equal(token_answer_old(TOKEN_SIGNATURE).text, "Invalid Token");
    assert_string_equal(token_answer(TOKEN_WITHOUT_SUB).text, "Token missing required claim: sub");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_algorithm_is_pinned),
        cmocka_unit_test(test_signature),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_huge_and_odd_bytes),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
