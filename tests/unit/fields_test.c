#include "worker/validation/fields.h"
#include "worker/validation/fieldtable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is_ab(const char *s, size_t len)
{
    return len == 2 && memcmp(s, "ab", 2) == 0;
}

static bool has_both(const json_t *data)
{
    return json_object_get(data, "a") && json_object_get(data, "b");
}

/* clang-format off */
static const struct kind kind_pattern = {.type = KIND_STRING, .matches = is_ab};
static const struct kind kind_choice = {.type = KIND_STRING,
                                        .choices = (const char *const[]){"one", "two", NULL}};
static const struct kind kind_folded = {.type = KIND_STRING, .any_case = true,
                                        .choices = (const char *const[]){"one", "two", NULL}};
static const struct kind kind_short = {.type = KIND_STRING, .min_len = 1, .max_len = 2};
static const struct kind kind_few = {.type = KIND_LIST, .item = &kind_integer, .min_len = 1,
                                     .max_len = 2};
static const struct kind kind_counts = {.type = KIND_DICT, .key = &kind_choice,
                                        .item = &kind_integer};
static const struct kind kind_values = {.type = KIND_DICT, .item = &kind_integer};
static const struct kind kind_keys = {.type = KIND_DICT, .key = &kind_pattern};
static const struct schema inner = {
    .fields = (const struct field[]){{"n", &kind_integer, FIELD_REQUIRED},
                                     {"s", &kind_string, 0}, {0}}};
static const struct kind kind_inner = {.type = KIND_OBJECT, .object = &inner};
static const struct kind kind_inners = {.type = KIND_LIST, .item = &kind_inner};
static const struct schema variants[] = {
    {.fields = (const struct field[]){{"a", &kind_integer, 0}, {"b", &kind_boolean, 0}, {0}},
     .rule = has_both},
    {.fields = (const struct field[]){{"a", &kind_inners, FIELD_REQUIRED}, {0}}},
    {.fields = (const struct field[]){{"a", &kind_string, 0}, {"c", &kind_few, 0}, {0}}},
    {.fields = NULL}};
static const struct kind kind_range = {.type = KIND_INTEGER, .min = 1, .max = 9};
static const struct kind kind_variant = {.type = KIND_VARIANT, .variants = variants,
                                         .no_variant = "None fits."};

static const struct schema everything = {
    .fields = (const struct field[]){
        {"string", &kind_string, 0},     {"integer", &kind_integer, 0},
        {"boolean", &kind_boolean, 0},   {"url", &kind_url, 0},
        {"email", &kind_email, 0},       {"datetime", &kind_datetime, 0},
        {"duration", &kind_duration, 0}, {"list", &kind_strings, 0},
        {"dicts", &kind_dicts, 0},       {"dict", &kind_dict, 0},
        {"pattern", &kind_pattern, 0},   {"choice", &kind_choice, 0},
        {"folded", &kind_folded, 0},     {"short", &kind_short, 0},
        {"few", &kind_few, 0},           {"counts", &kind_counts, 0},
        {"values", &kind_values, 0},     {"keys", &kind_keys, 0},
        {"inner", &kind_inner, 0},       {"inners", &kind_inners, 0},
        {"variant", &kind_variant, 0},   {"nullable", &kind_integer, FIELD_NULLABLE},
        {"drop", &kind_integer, FIELD_DROP_NULL},
        {"range", &kind_range, 0},
        {0}}};

static const struct schema outer = {
    .fields = (const struct field[]){{"need", &kind_string, FIELD_REQUIRED},
                                     {"list", &kind_strings, FIELD_EMPTY_LIST},
                                     {"last", &kind_integer, 0}, {0}},
    .reserved = (const char *const[]){"made", NULL}};

static const struct schema fieldless = {.fields = (const struct field[]){{0}}};

struct row {
    const char *body, *loaded, *errors, *comment;
};

/* Each is the body {FIELD: VALUE}; the expected texts are the same in the compact form. */
static const struct row rows[] = {
    {"{}", "{}", NULL, "nothing"},
    {"{'string':''}", "{'string':''}", NULL, "empty"},
    {"{'string':'a\\u0000b'}", "{'string':'a\\u0000b'}", NULL, "a NUL survives"},
    {"{'string':5}", NULL, "{'string':['Not a valid string.']}", "number"},
    {"{'string':true}", NULL, "{'string':['Not a valid string.']}", "boolean"},
    {"{'string':['a']}", NULL, "{'string':['Not a valid string.']}", "list"},
    {"{'string':null}", NULL, "{'string':['Field may not be null.']}", "null"},

    {"{'integer':-7}", "{'integer':-7}", NULL, "as is"},
    {"{'integer':5.7}", "{'integer':5}", NULL, "truncated"},
    {"{'integer':-5.7}", "{'integer':-5}", NULL, "toward zero"},
    {"{'integer':' 1_0 '}", "{'integer':10}", NULL, "text"},
    {"{'integer':'5.0'}", NULL, "{'integer':['Not a valid integer.']}", "text of a fraction"},
    {"{'integer':''}", NULL, "{'integer':['Not a valid integer.']}", "empty"},
    {"{'integer':'5\\u0000'}", NULL, "{'integer':['Not a valid integer.']}", "a NUL"},
    {"{'integer':true}", NULL, "{'integer':['Not a valid integer.']}", "boolean"},
    {"{'integer':1e19}", NULL, "{'integer':['Not a valid integer.']}", "beyond 64 bits"},
    {"{'integer':'9223372036854775808'}", NULL, "{'integer':['Not a valid integer.']}", "beyond"},
    {"{'integer':[]}", NULL, "{'integer':['Not a valid integer.']}", "list"},
    {"{'integer':{}}", NULL, "{'integer':['Not a valid integer.']}", "object"},
    {"{'integer':null}", NULL, "{'integer':['Field may not be null.']}", "null"},

    {"{'range':'1'}", "{'range':1}", NULL, "the least"},
    {"{'range':9.5}", "{'range':9}", NULL, "the most"},
    {"{'range':0.9}", NULL, "{'range':['Must be greater than or equal to 1.']}", "less"},
    {"{'range':10}", NULL, "{'range':['Must be less than or equal to 9.']}", "more"},

    {"{'boolean':true}", "{'boolean':true}", NULL, "as is"},
    {"{'boolean':0}", "{'boolean':false}", NULL, "integer"},
    {"{'boolean':1.0}", "{'boolean':true}", NULL, "real"},
    {"{'boolean':-0.0}", "{'boolean':false}", NULL, "minus zero"},
    {"{'boolean':'Yes'}", "{'boolean':true}", NULL, "text"},
    {"{'boolean':'off'}", "{'boolean':false}", NULL, "text"},
    {"{'boolean':2}", NULL, "{'boolean':['Not a valid boolean.']}", "another number"},
    {"{'boolean':0.5}", NULL, "{'boolean':['Not a valid boolean.']}", "another real"},
    {"{'boolean':'tRue'}", NULL, "{'boolean':['Not a valid boolean.']}", "another text"},
    {"{'boolean':''}", NULL, "{'boolean':['Not a valid boolean.']}", "empty"},
    {"{'boolean':[]}", NULL, "{'boolean':['Not a valid boolean.']}", "list"},

    {"{'url':'http://a.com'}", "{'url':'http://a.com'}", NULL, "as is"},
    {"{'url':'http://maas/x'}", NULL, "{'url':['Not a valid URL.']}", "no dot"},
    {"{'url':5}", NULL, "{'url':['Not a valid URL.']}", "number"},
    {"{'email':'a@b.com'}", "{'email':'a@b.com'}", NULL, "as is"},
    {"{'email':'a@b'}", NULL, "{'email':['Not a valid email address.']}", "no dot"},
    {"{'email':{}}", NULL, "{'email':['Not a valid email address.']}", "object"},
    {"{'datetime':'1970-01-01T00:00:01.5Z'}", "{'datetime':1500}", NULL, "milliseconds"},
    {"{'datetime':'1970-01-01'}", NULL, "{'datetime':['Not a valid datetime.']}", "date alone"},
    {"{'datetime':5}", NULL, "{'datetime':['Not a valid datetime.']}", "number"},

    {"{'duration':60}", "{'duration':60}", NULL, "as is"},
    {"{'duration':'30m1h'}", "{'duration':5400}", NULL, "text"},
    {"{'duration':' 60 '}", "{'duration':60}", NULL, "text of an integer"},
    {"{'duration':-1}", NULL,
     "{'duration':['Invalid duration format: Duration cannot be negative']}", "negative"},
    {"{'duration':'-1'}", NULL,
     "{'duration':['Invalid duration format: Duration cannot be negative']}", "negative text"},
    {"{'duration':' '}", NULL,
     "{'duration':['Invalid duration format: Duration cannot be empty']}", "empty"},
    {"{'duration':' 4X '}", NULL,
     "{'duration':['Invalid duration format: Invalid duration format: `4x`']}", "no unit"},
    {"{'duration':'a\\u0000B'}", NULL,
     "{'duration':['Invalid duration format: Invalid duration format: `a\\u0000b`']}", "a NUL"},
    {"{'duration':'99999999999999999999'}", NULL,
     "{'duration':['Invalid duration format: Duration is too long']}", "beyond 64 bits"},
    {"{'duration':5.5}", NULL,
     "{'duration':['Invalid duration format: Duration must be string or int, got "
     "<class `float`>']}", "real"},
    {"{'duration':true}", NULL,
     "{'duration':['Invalid duration format: Duration must be string or int, got "
     "<class `bool`>']}", "boolean"},
    {"{'duration':[]}", NULL,
     "{'duration':['Invalid duration format: Duration must be string or int, got "
     "<class `list`>']}", "list"},
    {"{'duration':{}}", NULL,
     "{'duration':['Invalid duration format: Duration must be string or int, got "
     "<class `dict`>']}", "object"},

    {"{'list':['a','a']}", "{'list':['a','a']}", NULL, "duplicates stay"},
    {"{'list':[]}", "{'list':[]}", NULL, "empty"},
    {"{'list':['a',1,'b',null]}", NULL,
     "{'list':{'1':['Not a valid string.'],'3':['Field may not be null.']}}", "members"},
    {"{'list':'a'}", NULL, "{'list':['Not a valid list.']}", "string"},
    {"{'list':{}}", NULL, "{'list':['Not a valid list.']}", "object"},
    {"{'few':['1',2.5]}", "{'few':[1,2]}", NULL, "members coerced"},
    {"{'few':[]}", NULL, "{'few':['Shorter than minimum length 1.']}", "too few"},
    {"{'few':[1,2,3]}", NULL, "{'few':['Longer than maximum length 2.']}", "too many"},
    {"{'few':[1,2,true]}", NULL, "{'few':{'2':['Not a valid integer.']}}", "members first"},
    {"{'dicts':[{'a':{'b':null}},{}]}", "{'dicts':[{'a':{'b':null}},{}]}", NULL, "free"},
    {"{'dicts':[1]}", NULL, "{'dicts':{'0':['Not a valid mapping type.']}}", "member"},
    {"{'dict':{'$a.b':{'':null}}}", "{'dict':{'$a.b':{'':null}}}", NULL, "free"},
    {"{'dict':[]}", NULL, "{'dict':['Not a valid mapping type.']}", "list"},
    {"{'dict':'{}'}", NULL, "{'dict':['Not a valid mapping type.']}", "string"},
    {"{'dict':null}", NULL, "{'dict':['Field may not be null.']}", "null"},

    {"{'pattern':'ab'}", "{'pattern':'ab'}", NULL, "fits"},
    {"{'pattern':'abc'}", NULL, "{'pattern':['String does not match expected pattern.']}", "no"},
    {"{'choice':'two'}", "{'choice':'two'}", NULL, "fits"},
    {"{'choice':'Two'}", NULL, "{'choice':['Must be one of: one, two.']}", "case"},
    {"{'choice':'two\\u0000'}", NULL, "{'choice':['Must be one of: one, two.']}", "a NUL"},
    {"{'choice':2}", NULL, "{'choice':['Not a valid string.']}", "type first"},
    {"{'folded':'TWO'}", "{'folded':'two'}", NULL, "coerced to the choice"},
    {"{'folded':' two'}", NULL, "{'folded':['Must be one of: one, two.']}", "space"},
    {"{'short':''}", NULL, "{'short':['Shorter than minimum length 1.']}", "short"},
    {"{'short':'abc'}", NULL, "{'short':['Longer than maximum length 2.']}", "long"},

    {"{'counts':{'two':'2','one':1}}", "{'counts':{'two':2,'one':1}}", NULL, "coerced, order"},
    {"{'counts':{'zz':true,'one':null}}", NULL,
     "{'counts':{'zz':{'key':['Must be one of: one, two.'],'value':['Not a valid integer.']},"
     "'one':{'value':['Field may not be null.']}}}", "names and values"},
    {"{'counts':[]}", NULL, "{'counts':['Not a valid mapping type.']}", "list"},
    {"{'values':{'':1}}", "{'values':{'':1}}", NULL, "any name"},
    {"{'keys':{'ab':null}}", "{'keys':{'ab':null}}", NULL, "any value"},
    {"{'keys':{'b':1}}", NULL,
     "{'keys':{'b':{'key':['String does not match expected pattern.']}}}", "name"},

    {"{'inner':{'s':'x','n':'1'}}", "{'inner':{'n':1,'s':'x'}}", NULL, "order of the schema"},
    {"{'inner':{}}", NULL, "{'inner':{'n':['Missing data for required field.']}}", "missing"},
    {"{'inner':5}", NULL, "{'inner':{'_schema':['Invalid input type.']}}", "number"},
    {"{'inner':[]}", NULL, "{'inner':{'_schema':['Invalid input type.']}}", "list"},
    {"{'inner':null}", NULL, "{'inner':['Field may not be null.']}", "null"},
    {"{'inner':{'z':1,'s':1,'y':1}}", NULL,
     "{'inner':{'n':['Missing data for required field.'],'s':['Not a valid string.'],"
     "'z':['Unknown field.'],'y':['Unknown field.']}}", "all at once"},
    {"{'inners':[{'n':1},2,{'n':null}]}", NULL,
     "{'inners':{'1':{'_schema':['Invalid input type.']},'2':{'n':['Field may not be null.']}}}",
     "in a list"},

    {"{'variant':{'b':'no','a':'1'}}", "{'variant':{'a':1,'b':false}}", NULL, "the first"},
    {"{'variant':{'a':'1'}}", "{'variant':{'a':'1'}}", NULL, "the first one's rule says no"},
    {"{'variant':{'a':[{'n':'1'}]}}", "{'variant':{'a':[{'n':1}]}}", NULL, "the second"},
    {"{'variant':{'c':['1']}}", "{'variant':{'c':[1]}}", NULL, "the third"},
    {"{'variant':{}}", "{'variant':{}}", NULL, "empty: the third"},
    {"{'variant':{'a':'x','b':1}}", NULL, "{'variant':{'_schema':['None fits.']}}", "none"},
    {"{'variant':{'a':null}}", NULL, "{'variant':{'_schema':['None fits.']}}", "null"},
    {"{'variant':{'a':[{'n':1},{}]}}", NULL, "{'variant':{'_schema':['None fits.']}}", "deep"},
    {"{'variant':{'c':[]}}", NULL, "{'variant':{'_schema':['None fits.']}}", "too few"},
    {"{'variant':'skip'}", NULL, "{'variant':{'_schema':'Invalid data type: skip'}}", "string"},
    {"{'variant':'a\\u0000b'}", NULL, "{'variant':{'_schema':'Invalid data type: a\\u0000b'}}",
     "a NUL"},
    {"{'variant':[]}", NULL, "{'variant':{'_schema':'Invalid data type: []'}}", "list"},
    {"{'variant':5}", NULL, "{'variant':{'_schema':'Invalid data type: 5'}}", "number"},
    {"{'variant':true}", NULL, "{'variant':{'_schema':'Invalid data type: True'}}", "true"},
    {"{'variant':false}", NULL, "{'variant':{'_schema':'Invalid data type: False'}}", "false"},

    {"{'nullable':null}", "{'nullable':null}", NULL, "kept"},
    {"{'drop':null}", "{}", NULL, "dropped"},

    {"[]", NULL, "{'_schema':['Invalid input type.']}", "list"},
    {"'x'", NULL, "{'_schema':['Invalid input type.']}", "string"},
    {"5", NULL, "{'_schema':['Invalid input type.']}", "number"},
    {"true", NULL, "{'_schema':['Invalid input type.']}", "boolean"},
    {"null", NULL, "{'_schema':['Invalid input type.']}", "null"},

    {"{'z':1,'list':5,'y':1,'integer':'x'}", NULL,
     "{'integer':['Not a valid integer.'],'list':['Not a valid list.'],'z':['Unknown field.'],"
     "'y':['Unknown field.']}", "known ones first, unknown ones as sent"},
    {"{'z':1}", NULL, "{'z':['Unknown field.']}", "only an unknown one"},
};

static const struct row kept_rows[] = {
    {"{'z':{'k':null},'last':'1','need':'n','a':5}",
     "{'need':'n','list':[],'last':1,'z':{'k':null},'a':5}", NULL, "known ones, then as sent"},
    {"{'need':'n','z':null}", "{'need':'n','list':[],'z':null}", NULL, "null"},
    {"{'need':'n','$a.b':1,'':2}", "{'need':'n','list':[],'$a.b':1,'':2}", NULL, "any name"},
    {"{'need':'n','list':['a']}", "{'need':'n','list':['a']}", NULL, "given"},
    {"{'need':'n','made':1}", NULL, "{'made':['Unknown field.']}", "reserved"},
    {"{'z':1,'made':1,'list':null}", NULL,
     "{'need':['Missing data for required field.'],'list':['Field may not be null.'],"
     "'made':['Unknown field.']}", "all at once"},
};

static const struct row fieldless_rows[] = {
    {"{'a':1,'b$':2,' ':3}", "{'a':1,'b$':2,' ':3}", NULL, "all are unknown"},
    {"{'$a':1,'a.b':2,'':3,'ok':4,'.':5}", "{'$a':1,'a.b':2,'':3,'ok':4,'.':5}", NULL,
     "names that are no paths of a database"},
};
/* clang-format on */

/* JSON written with ' instead of " (and ` instead of '). */
static char *real_json(const char *text)
{
    char *json = strdup(text);

    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c == '`' ? '\'' : *c;
    return json;
}

static void check_row(const struct schema *s, unsigned flags, const struct row *row)
{
    char *body = real_json(row->body),
         *expected = real_json(row->loaded ? row->loaded : row->errors);
    json_t *in = json_loads(body, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL), *errors = NULL;
    assert_non_null(in);
    json_t *before = json_deep_copy(in);
    json_t *out = schema_load(s, in, flags, &errors);
    char *got = json_dumps(out ? out : errors, JSON_COMPACT);

    if (!out != !row->loaded || !got || strcmp(got, expected) != 0)
        fail_msg("%s: %s: got %s, expected %s", row->comment, body, got, expected);
    assert_true(!out == !!errors);
    assert_true(json_equal(in, before));
    json_decref(before);
    json_decref(in);
    json_decref(out);
    json_decref(errors);
    free(got);
    free(body);
    free(expected);
}

static void test_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_row(&everything, 0, &rows[i]);
}

static void test_keep_unknown(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(kept_rows); i++)
        check_row(&outer, SCHEMA_KEEP_UNKNOWN, &kept_rows[i]);
    for (size_t i = 0; i < COUNT(fieldless_rows); i++)
        check_row(&fieldless, SCHEMA_KEEP_UNKNOWN, &fieldless_rows[i]);
    /* Only the top level keeps unknown names. */
    check_row(&everything, SCHEMA_KEEP_UNKNOWN,
              &(struct row){"{'inner':{'n':1,'z':1}}", NULL, "{'inner':{'z':['Unknown field.']}}",
                            "nested"});
}

/* Free objects and right strings are shared, not copied. */
static void test_shares(void **state)
{
    json_t *in = json_pack("{s:{s:i}, s:s}", "dict", "a", 1, "string", "text"), *errors = NULL;
    json_t *out = schema_load(&everything, in, 0, &errors);

    (void)state;
    assert_non_null(out);
    assert_ptr_equal(json_object_get(out, "dict"), json_object_get(in, "dict"));
    assert_ptr_equal(json_object_get(out, "string"), json_object_get(in, "string"));
    json_decref(in);
    assert_string_equal(json_string_value(json_object_get(out, "string")), "text");
    json_decref(out);
}

/* However many faults a body has, the answer's size is bounded. */
static void test_many_faults(void **state)
{
    static const char *const fields[] = {"list", "inners", "counts", "variant", NULL};
    json_t *errors = NULL, *in = json_object(), *list = json_array(), *dict = json_object();
    char name[32];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        json_array_append_new(list, json_integer(i));
        snprintf(name, sizeof name, "unknown%d", i);
        json_object_set_new(dict, name, json_true());
        json_object_set_new(in, name, json_true());
    }
    assert_null(schema_load(&everything, in, 0, &errors));
    assert_int_equal(json_object_size(errors), SCHEMA_FAULTS_MAX);
    json_decref(errors);
    for (size_t i = 0; fields[i]; i++) {
        errors = NULL;
        json_object_set(in, fields[i], i < 2 ? list : dict);
        assert_null(schema_load(&everything, in, 0, &errors));
        json_t *faults = json_object_get(errors, "list");
        assert_int_equal(json_object_size(faults), SCHEMA_FAULTS_MAX);
        assert_int_equal(json_object_size(errors), 1);
        json_decref(errors);
    }
    errors = NULL;
    json_object_del(in, "list");
    json_object_del(in, "inners");
    assert_null(schema_load(&everything, in, 0, &errors));
    assert_int_equal(json_object_size(json_object_get(errors, "counts")), SCHEMA_FAULTS_MAX / 2);
    json_decref(errors);
    json_decref(list);
    json_decref(dict);
    json_decref(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_keep_unknown),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_many_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
