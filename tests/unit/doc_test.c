/* Documents made of a text and values, compared with what libbson reads from JSON. */
#include "worker/store/mongo/doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT(s)                                                                                    \
    (struct text)                                                                                  \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static void check(bson_t *doc, const char *json)
{
    bson_error_t error;

    assert_non_null(doc);
    bson_t *expected = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!expected)
        fail_msg("%s: %s", json, error.message);
    char *is = bson_as_canonical_extended_json(doc, NULL);
    char *should = bson_as_canonical_extended_json(expected, NULL);
    assert_string_equal(is, should);
    assert_true(bson_equal(doc, expected));
    bson_free(is);
    bson_free(should);
    bson_destroy(doc);
    bson_destroy(expected);
}

static void test_constants(void **state)
{
    (void)state;
    check(doc_of(""), "{}");
    check(doc_of("a: 1, b.c: -2, $d: 'x y', e: true, f: false, g: null"),
          "{\"a\": 1, \"b.c\": -2, \"$d\": \"x y\", \"e\": true, \"f\": false, \"g\": null}");
    check(doc_of("a:{b:[1,{c:[]},'']},d:{}"),
          "{\"a\": {\"b\": [1, {\"c\": []}, \"\"]}, \"d\": {}}");
    /* a pipeline: the members of an array */
    check(doc_of("[{$set: {a: '$b'}}, {$unset: ['c']}]"),
          "{\"0\": {\"$set\": {\"a\": \"$b\"}}, \"1\": {\"$unset\": [\"c\"]}}");
}

static void test_values(void **state)
{
    const struct text texts[] = {TEXT("x"), TEXT("y")};
    static const char *const strs[] = {"p", "q", "r", NULL};

    (void)state;
    check(
        doc_of("a: ?, b: [?, 3, ?], c: {$lt: ?}", v_str("s"), v_int(7), v_bool(true), v_date(1000)),
        "{\"a\": \"s\", \"b\": [7, 3, true], \"c\": {\"$lt\": {\"$date\": {\"$numberLong\": "
        "\"1000\"}}}}");
    check(doc_of("a: ?, b: ?, c: ?", v_int(1LL << 40), v_int64(1), v_text(TEXT(""))),
          "{\"a\": {\"$numberLong\": \"1099511627776\"}, \"b\": {\"$numberLong\": \"1\"}, \"c\": "
          "\"\"}");
    check(doc_of("a: ?, b: ?, c: ?", v_texts(texts, 2), v_strs(strs, SIZE_MAX), v_strs(strs, 1)),
          "{\"a\": [\"x\", \"y\"], \"b\": [\"p\", \"q\", \"r\"], \"c\": [\"p\"]}");
    check(doc_of("a: ?, b: ?, c: ?", v_own(doc_of("x: 1")), v_own_array(doc_of("[1, 2]")),
                 v_bytes(TEXT("\1\2"))),
          "{\"a\": {\"x\": 1}, \"b\": [1, 2], \"c\": {\"$binary\": {\"base64\": \"AQI=\", "
          "\"subType\": \"00\"}}}");
}

/* Values that are not given are left out, also in arrays. */
static void test_left_out(void **state)
{
    (void)state;
    check(
        doc_of("a: ?, b: ?, c: [?, 1], d: 2", v_none(), v_given((struct text){NULL, 0}), v_none()),
        "{\"c\": [1], \"d\": 2}");
}

static void test_members_and_names(void **state)
{
    json_t *json = json_pack("{s:i, s:[s]}", "x", 1, "y", "z");

    (void)state;
    check(doc_of("a: {?, b: 1}, ?, ?: 2", v_json(json), v_own(doc_of("m: 1")), v_str("name")),
          "{\"a\": {\"x\": 1, \"y\": [\"z\"], \"b\": 1}, \"m\": 1, \"name\": 2}");
    json_decref(json);
}

static void test_as_read(void **state)
{
    bson_t *doc = doc_of("a: {b: ['x']}");

    (void)state;
    check(doc_of("p: ?, q: ?", v_field(doc, "a.b"), v_field(doc, "a.c")),
          "{\"p\": [\"x\"], \"q\": null}");
    bson_destroy(doc);
}

/* A value that cannot be BSON makes no document; the values handed over are freed. */
static void test_refused(void **state)
{
    json_t *deep = json_array();

    (void)state;
    for (int i = 0; i < 300; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    assert_null(doc_of("a: ?, b: ?", v_json(deep), v_own(doc_of("c: 1"))));
    assert_null(doc_of("a: ?", v_own(doc_of("b: ?", v_json(deep)))));
    json_decref(deep);
}

static void test_reading(void **state)
{
    bson_t *doc = doc_of("_id: 'i', a: {s: 'x', n: 5, d: ?, t: true, l: [1, 2]}", v_date(9));
    bson_t inner;
    bson_iter_t list;

    (void)state;
    assert_string_equal(doc_str(doc, "a.s"), "x");
    assert_null(doc_str(doc, "a.n"));
    assert_true(doc_text_is(doc, "a.s", "x"));
    assert_false(doc_text_is(doc, "a.none", "x"));
    assert_int_equal(doc_int(doc, "a.n", -1), 5);
    assert_int_equal(doc_int(doc, "a.s", -1), -1);
    assert_int_equal(doc_date(doc, "a.d"), 9);
    assert_true(doc_bool(doc, "a.t"));
    assert_true(doc_bool(doc, "a.n"));
    assert_false(doc_bool(doc, "a.none"));
    assert_true(doc_inner(doc, "a", &inner));
    assert_int_equal(doc_int(&inner, "n", 0), 5);
    assert_true(doc_list(doc, "a.l", &list));
    assert_true(bson_iter_next(&list));
    assert_false(doc_list(doc, "a.s", &list));
    json_t *json = doc_object(doc);
    assert_null(json_object_get(json, "_id"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "a"), "n")), 5);
    json_decref(json);
    bson_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constants), cmocka_unit_test(test_values),
        cmocka_unit_test(test_left_out),  cmocka_unit_test(test_members_and_names),
        cmocka_unit_test(test_as_read),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
