/* BSON to jansson and back. */
#include "worker/encoding/bsonjson.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    assert_non_null(j);
    return j;
}

/* Each value is read back as written, its keys in their order. */
static const char *const same[] = {
    "{}",
    "[]",
    "\"\"",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9223372036854775807",
    "1.5",
    "1e300",
    "\"a\\u0000b\"",
    "\"\\u00e9\\ud83d\\ude00\"",
    "{\"z\":1,\"a\":{\"\":2,\"$x\":3,\"a.b\":4},\"m\":[[],{},[1,\"x\",null]]}",
    "[0,1,2,3,4,5,6,7,8,9,10,11]",
    "{\"$date\":\"2026-11-24T12:25:45Z\",\"$oid\":5}",
};

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        json_t *in = parse(same[i]);
        bson_t doc = BSON_INITIALIZER;
        bson_iter_t it;

        assert_true(bsonjson_append(&doc, "k", 1, in));
        assert_true(bson_validate(&doc, BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
        assert_true(bson_iter_init_find(&it, &doc, "k"));
        json_t *out = bsonjson_value(&it);
        char *text = json_dumps(out, JSON_ENCODE_ANY | JSON_COMPACT);
        char *expected = json_dumps(in, JSON_ENCODE_ANY | JSON_COMPACT);
        assert_string_equal(text, expected);
        free(text);
        free(expected);
        json_decref(out);
        json_decref(in);
        bson_destroy(&doc);
    }
}

static void test_integers_by_size(void **state)
{
    static const struct {
        const char *text;
        bson_type_t type;
    } rows[] = {
        {"2147483647", BSON_TYPE_INT32},           {"2147483648", BSON_TYPE_INT64},
        {"-2147483648", BSON_TYPE_INT32},          {"-2147483649", BSON_TYPE_INT64},
        {"-9223372036854775808", BSON_TYPE_INT64}, {"5.0", BSON_TYPE_DOUBLE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *in = parse(rows[i].text);
        bson_t doc = BSON_INITIALIZER;
        bson_iter_t it;

        assert_true(bsonjson_append(&doc, "k", 1, in));
        assert_true(bson_iter_init_find(&it, &doc, "k"));
        assert_int_equal(bson_iter_type(&it), rows[i].type);
        json_decref(in);
        bson_destroy(&doc);
    }
}

/* Values of other programs' documents that our writers never make. */
static void test_foreign_types(void **state)
{
    static const uint8_t bytes[16] = {0xde, 0xad, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    bson_t *doc = bson_new();
    bson_oid_t id;
    bson_decimal128_t decimal;

    (void)state;
    bson_oid_init_from_string(&id, "0123456789abcdef01234567");
    assert_true(bson_decimal128_from_string("12.50", &decimal));
    BSON_APPEND_DATE_TIME(doc, "date", 1795523145774);
    BSON_APPEND_OID(doc, "oid", &id);
    BSON_APPEND_BINARY(doc, "uuid", BSON_SUBTYPE_UUID, bytes, sizeof bytes);
    BSON_APPEND_BINARY(doc, "binary", BSON_SUBTYPE_BINARY, bytes, 3);
    BSON_APPEND_DECIMAL128(doc, "decimal", &decimal);
    BSON_APPEND_TIMESTAMP(doc, "timestamp", 1795523145, 1);
    BSON_APPEND_REGEX(doc, "regex", "^a", "i");
    BSON_APPEND_CODE(doc, "code", "f()");
    BSON_APPEND_SYMBOL(doc, "symbol", "s");
    BSON_APPEND_DBPOINTER(doc, "pointer", "c", &id);
    BSON_APPEND_UNDEFINED(doc, "undefined");
    BSON_APPEND_MINKEY(doc, "min");
    BSON_APPEND_DOUBLE(doc, "nan", NAN);
    BSON_APPEND_DOUBLE(doc, "inf", INFINITY);
    bson_append_utf8(doc, "bad", -1, "a\xff", 2);
    bson_append_int32(doc, "k\xff", 2, 1);
    json_t *expected =
        parse("{\"date\":\"2026-11-24T12:25:45Z\",\"oid\":\"0123456789abcdef01234567\","
              "\"uuid\":\"dead0102-0304-0506-0708-090a0b0c0d0e\",\"binary\":\"dead01\","
              "\"decimal\":\"12.50\",\"timestamp\":\"2026-11-24T12:25:45Z\",\"regex\":\"^a\","
              "\"code\":\"f()\",\"symbol\":\"s\",\"pointer\":\"0123456789abcdef01234567\","
              "\"undefined\":null,\"min\":null,\"nan\":null,\"inf\":null,\"bad\":\"a?\","
              "\"k?\":1}");
    bson_t outer = BSON_INITIALIZER;
    bson_iter_t it;
    BSON_APPEND_DOCUMENT(&outer, "d", doc);
    assert_true(bson_iter_init_find(&it, &outer, "d"));
    json_t *out = bsonjson_value(&it);
    char *text = json_dumps(out, 0), *wanted = json_dumps(expected, 0);
    assert_string_equal(text, wanted);
    free(text);
    free(wanted);
    json_decref(out);
    json_decref(expected);
    bson_destroy(&outer);
    bson_destroy(doc);
}

static json_t *nested(int levels)
{
    json_t *j = json_array();

    for (int i = 1; i < levels; i++) {
        json_t *outer = i % 2 ? json_object() : json_array();
        if (i % 2)
            json_object_set_new(outer, "n", j);
        else
            json_array_append_new(outer, j);
        j = outer;
    }
    return j;
}

static void test_refused(void **state)
{
    json_t *in = nested(BSONJSON_DEPTH_MAX), *deep = nested(BSONJSON_DEPTH_MAX + 1);
    json_t *o = json_object();
    bson_t doc = BSON_INITIALIZER;

    (void)state;
    assert_true(bsonjson_append(&doc, "k", 1, in));
    assert_false(bsonjson_append(&doc, "k", 1, deep));
    assert_false(bsonjson_append(&doc, "a\0b", 3, o));
    assert_int_equal(json_object_setn_new(o, "a\0b", 3, json_null()), 0);
    assert_false(bsonjson_append_members(&doc, o));
    json_decref(in);
    json_decref(deep);
    json_decref(o);
    bson_destroy(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_integers_by_size),
        cmocka_unit_test(test_foreign_types),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
