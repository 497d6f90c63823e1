/* Texts of YAML. With --read: texts from standard input, each ended by a NUL, as JSON lines,
 * {"value": ...} or {"fault": [LINE, COLUMN, TEXT]}, for a comparison with PyYAML. */
#include "worker/web/yaml_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct text of(const char *s)
{
    return (struct text){s, strlen(s)};
}

/* {"value": ...} or {"fault": [LINE, COLUMN, TEXT]} of a text. */
static json_t *answer(struct text t)
{
    struct yaml_fault f;
    struct yaml_in *y = yaml_in_read(t, &f);
    json_t *all =
        y ? json_pack("{s:o}", "value", yaml_in_value(y))
          : json_pack("{s:[I, I, s]}", "fault", (json_int_t)f.line, (json_int_t)f.column, f.text);

    yaml_in_free(y);
    return all;
}

static const struct {
    const char *in, *out, *comment;
} values[] = {
    {"", "null", "nothing"},
    {"# nothing\n", "null", "a comment"},
    {"a: [1, -2, 0x1F, 0b101, 017, 1_000, +3, 190:20:30, 08, 0o7]",
     "{'a': [1, -2, 31, 5, 15, 1000, 3, 685230, '08', '0o7']}", "integers"},
    {"a: [1.5, 1., .5, -.5, 1e3, 1.0e+3, 1.0e3, 1_0.5, 12:30.5, 12:30]",
     "{'a': [1.5, 1.0, 0.5, '-.5', '1e3', 1000.0, '1.0e3', 10.5, 750.5, 750]}", "reals"},
    {"a: [9223372036854775807, -9223372036854775808, 0b_1, 0b_, 0x_, _1, '1', \"2\"]",
     "{'a': [9223372036854775807, -9223372036854775808, 1, '0b_', '0x_', '_1', '1', '2']}",
     "limits, and what looks like a number"},
    {"a: [yes, No, ON, off, true, FALSE, y, n, yEs, ~, null, NULL, nULL, ]",
     "{'a': [true, false, true, false, true, false, 'y', 'n', 'yEs', null, null, null, 'nULL']}",
     "words"},
    {"a: 2026-11-28\nb: 2026-11-28 12:00:00\nc: =\nd: <<\ne:",
     "{'a': '2026-11-28', 'b': '2026-11-28 12:00:00', 'c': '=', 'd': '<<', 'e': null}",
     "texts that PyYAML makes other things of"},
    {"1: a\nyes: b\n~: c\n22.04: d\n=: e\n",
     "{'1': 'a', 'true': 'b', 'null': 'c', '22.04': 'd', '=': 'e'}", "names"},
    {"a: |\n  x\n   y\nb: >-\n  x\n  y\nc: 'it''s'\nd: \"\\t\\x41\\u00e9\\U0001F427\"",
     "{'a': 'x\\n y\\n', 'b': 'x y', 'c': \"it's\", 'd': '\\tAé🐧'}",
     "texts of several lines, escapes"},
    {"a: &x [1]\nb: *x\nc: &y {k: 1, l: 2}\nd: {<<: *y, l: 3, m: 4}",
     "{'a': [1], 'b': [1], 'c': {'k': 1, 'l': 2}, 'd': {'k': 1, 'l': 3, 'm': 4}}",
     "aliases, a key that merges"},
    {"- &x {a: 1, b: 1}\n- &y {a: 2, c: 2}\n- {<<: [*x, *y], d: 3}\n- {d: 3, a: 0, <<: *y}\n- {<<: "
     "[]}",
     "[{'a': 1, 'b': 1}, {'a': 2, 'c': 2}, {'a': 1, 'c': 2, 'b': 1, 'd': 3}, {'a': 0, 'c': 2, 'd': "
     "3}, {}]",
     "several to merge"},
    {"{\"a\": 1e5, \"b\": \"\\ud83d\\udc27\",\n\t\"c\": \"\\u0000\\/\"}",
     "{'a': 100000.0, 'b': '🐧', 'c': '\\u0000/'}", "JSON, which YAML reads in another way"},
    {"{\"a\": 1,}", "{'a': 1}", "JSON but for a comma is YAML"},
    {"[1e5]", "['1e5']", "a list is YAML"},
    {"---\na: 1\n...\n", "{'a': 1}", "marks of a document"},
    {"\xef\xbb\xbf"
     "a: 1",
     "{'a': 1}", "a byte order mark"},
    {"a: 1\r\nb: 2\r\n", "{'a': 1, 'b': 2}", "line ends of Windows"},
};

/* The text with ' for ", as rows of this file have it; "it's" is the one exception. */
static json_t *expected(const char *text)
{
    char *copy = strdup(text);
    json_error_t error;

    assert_non_null(copy);
    for (char *p = copy; *p; p++)
        if (*p == '\'' && !(p > copy && p[-1] == 't' && p[1] == 's'))
            *p = '"';
    json_t *value = json_loads(copy, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!value)
        fail_msg("%s in %s", error.text, copy);
    free(copy);
    return value;
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_t *all = answer(of(values[i].in)), *want = expected(values[i].out);
        char *text = json_dumps(all, JSON_ENCODE_ANY), *wanted = json_dumps(want, JSON_ENCODE_ANY);
        if (strncmp(text, "{\"value\": ", 10) || strncmp(text + 10, wanted, strlen(wanted)))
            fail_msg("%s: %s, not %s", values[i].comment, text, wanted);
        free(text);
        free(wanted);
        json_decref(all);
        json_decref(want);
    }
}

static const struct {
    const char *in;
    size_t line, column;
    const char *text;
} faults[] = {
    {"a: 1\nb: [1, 2\nc: 3\n", 3, 2,
     "did not find expected ',' or ']' (while parsing a flow sequence that begins in line 2)"},
    {"a: 1\n b: 2\n", 2, 3, "mapping values are not allowed in this context"},
    {"a: 'x\n", 2, 1,
     "found unexpected end of stream (while scanning a quoted scalar that begins in line 1)"},
    {"a: *x\n", 1, 4, "found undefined alias"},
    {"\n\na: \x01\n", 3, 0, "control characters are not allowed"},
    {"a: \xff\n", 1, 0, "invalid leading UTF-8 octet"},
    {"a: 1\nb: 2\na: 3\n", 3, 1, "the name 'a' stands twice"},
    {"1: 1\n'1': 2\n", 2, 1, "the name '1' stands twice"},
    {"a: 1\n\"x\\ny\": 1\n\"x\\ny\": 2", 3, 1, "the name 'x?y' stands twice"},
    {"a: 1\nb: !!str 2\n", 2, 4, "tags are not understood"},
    {"a: ! 2\n", 1, 4, "tags are not understood"},
    {"!x {a: 1}", 1, 1, "tags are not understood"},
    {"a: 1\n---\nb: 2\n", 2, 1, "a second document begins"},
    {"a: .inf\n", 1, 4, "JSON has no such number"},
    {"a: -.INF\n", 1, 4, "JSON has no such number"},
    {".nan: 1\n", 1, 1, "JSON has no such number"},
    {"a: 9223372036854775808\n", 1, 4, "an integer has at most 64 bits"},
    {"a: -9223372036854775809\n", 1, 4, "an integer has at most 64 bits"},
    {"a: 11111111111111111:59:59\n", 1, 4, "an integer has at most 64 bits"},
    {"[a]: 1\n", 1, 1, "a name must be a text, a number, a boolean or null"},
    {"\"a\\0b\": 1\n", 1, 1, "a name must not hold a NUL character"},
    {"a: &a [*a]\n", 1, 4, "nested too deeply, 64 levels at most"},
    {"a: &a {<<: *a}\n", 1, 4, "nested too deeply, 64 levels at most"},
    {"a: {<<: 1}\n", 1, 9, "<< takes a mapping or a list of mappings"},
    {"a: {<<: [{}, 1]}\n", 1, 14, "<< takes a mapping or a list of mappings"},
    {"{\"a\": 1,\n \"a\": 2}", 2, 4, "a name stands twice"},
    {"{\"a\": 1,\n \"b\": 1e999}", 2, 11, "a number has at most 64 bits"},
    {"{\"a\\u0000\": 1}", 1, 10, "a name must not hold a NUL character"},
};

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct yaml_fault f;
        struct yaml_in *y = yaml_in_read(of(faults[i].in), &f);
        if (y || f.line != faults[i].line || f.column != faults[i].column ||
            strcmp(f.text, faults[i].text) != 0)
            fail_msg("%s: %s in line %zu, column %zu", faults[i].in, y ? "fine" : f.text, f.line,
                     f.column);
        yaml_in_free(y);
    }
}

/* A text of the same parts many times between two others. */
static char *many(const char *before, const char *part, size_t times, const char *behind)
{
    size_t len = strlen(part);
    char *text = malloc(strlen(before) + times * len + strlen(behind) + 1), *p = text;

    assert_non_null(text);
    p = stpcpy(p, before);
    for (size_t i = 0; i < times; i++)
        p = stpcpy(p, part);
    stpcpy(p, behind);
    return text;
}

/* Reads a text, frees it. The fault; "": none. */
static const char *fault_of(char *text)
{
    static struct yaml_fault f;
    struct yaml_in *y = yaml_in_read(of(text), &f);

    yaml_in_free(y);
    free(text);
    return f.text;
}

static void test_bounds(void **state)
{
    (void)state;
    assert_string_equal(fault_of(many("a: ", "x", YAML_TEXT_MAX - 3, "")), "");
    assert_string_equal(fault_of(many("a: ", "x", YAML_TEXT_MAX - 2, "")),
                        "a text has at most 1048576 bytes");
    assert_string_equal(fault_of(many("", "[", 64, "")) + strlen("did not find expected"),
                        " node content (while parsing a flow node)");
    assert_string_equal(fault_of(many("", "[", 65, "")), "nested too deeply, 64 levels at most");
    assert_string_equal(fault_of(many("", "[", 100000, "")),
                        "nested too deeply, 64 levels at most");
    assert_string_equal(fault_of(many("", "- ", 65, "")), "nested too deeply, 64 levels at most");
    assert_string_equal(fault_of(many("", "- x\n", YAML_NODES_MAX - 1, "")), "");
    assert_string_equal(fault_of(many("", "- x\n", YAML_NODES_MAX, "")),
                        "more than 100000 values and names");
    assert_string_equal(fault_of(many("{\"a\": [0", ",0", YAML_NODES_MAX, "]}")),
                        "more than 64 levels or 100000 values");
    assert_string_equal(fault_of(many("", "- &a x\n", 1, "")), "");
    char anchors[251 * 16], *at = anchors;
    for (int i = 0; i < 251; i++)
        at += snprintf(at, 16, "- &a%d x\n", i);
    assert_string_equal(fault_of(strdup(anchors)), "more than 250 anchors");
    at[-(int)strlen("- &a250 x\n")] = '\0';
    assert_string_equal(fault_of(strdup(anchors)), "");
    /* aliases: of a list, of a long text, of lists of lists */
    assert_string_equal(fault_of(many("- &a [1,2,3,4,5,6,7,8,9]\n", "- *a\n", 9997, "")), "");
    assert_string_equal(fault_of(many("- &a [1,2,3,4,5,6,7,8,9]\n", "- *a\n", 9999, "")),
                        "more than 100000 values and names once aliases are expanded");
    char *text = many("- &a ", "x", 500000, "\n");
    assert_string_equal(fault_of(many(text, "- *a\n", 40, "")),
                        "more than 16777216 bytes once aliases are expanded");
    free(text);
    assert_string_equal(
        fault_of(strdup("- &a [x,x,x,x,x,x,x,x,x]\n- &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
                        "- &c [*b,*b,*b,*b,*b,*b,*b,*b]\n- &d [*c,*c,*c,*c,*c,*c,*c,*c]\n"
                        "- &e [*d,*d,*d,*d,*d,*d,*d,*d]\n- [*e,*e,*e,*e,*e,*e,*e,*e]\n")),
        "more than 100000 values and names once aliases are expanded");
    assert_string_equal(
        fault_of(strdup("- &a {x: 1}\n- &b {p: {<<: *a}, q: {<<: *a}}\n- {<<: *b, p: {<<: *b}}\n")),
        "");
}

static void test_lines(void **state)
{
    static const char text[] = "job_queue: q\n"
                               "test_data:\n"
                               "  attachments:\n"
                               "    - local: a\n"
                               "    -\n"
                               "      local: b\n"
                               "base: &b\n"
                               "  x: 1\n"
                               "  y: 2\n"
                               "d: {<<: [{x: 0}, *b],\n"
                               "  z: 1}\n"
                               "e: *b\n"
                               "yes: 1\n";
    static const struct {
        size_t line;
        const char *path[5];
    } rows[] = {
        {1, {NULL}},
        {1, {"job_queue", NULL}},
        {1, {"job_queue", "deeper", NULL}},
        {1, {"nowhere", "at", "all", NULL}},
        {3, {"test_data", "attachments", NULL}},
        {3, {"test_data", "attachments", "2", NULL}},
        {3, {"test_data", "attachments", "x", NULL}},
        {3, {"test_data", "attachments", "", NULL}},
        {4, {"test_data", "attachments", "0", "agent", NULL}},
        {6, {"test_data", "attachments", "1", NULL}},
        {10, {"d", NULL}},
        {10, {"d", "x", NULL}},
        {9, {"d", "y", NULL}},
        {11, {"d", "z", NULL}},
        {12, {"e", NULL}},
        {9, {"e", "y", NULL}},
        {13, {"true", NULL}},
    };
    struct yaml_fault f;
    struct yaml_in *y = yaml_in_read(of(text), &f);

    (void)state;
    assert_non_null(y);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text path[5];
        size_t n = 0;
        for (; rows[i].path[n]; n++)
            path[n] = of(rows[i].path[n]);
        if (yaml_in_line(y, path, n) != rows[i].line)
            fail_msg("%s: line %zu, not %zu", n ? rows[i].path[n - 1] : "",
                     yaml_in_line(y, path, n), rows[i].line);
    }
    yaml_in_free(y);
    y = yaml_in_read(of("{\"a\": 1,\n\"b\":\n[{\n\"c\": 1}]}"), &f);
    assert_int_equal(yaml_in_line(y, (struct text[]){of("b"), of("0"), of("c")}, 3), 4);
    yaml_in_free(y);
    y = yaml_in_read(of("{\"a\": \"\\ud83d\\udc27\"}"), &f); /* libyaml refuses the escapes */
    assert_int_equal(yaml_in_line(y, (struct text[]){of("a")}, 1), 0);
    yaml_in_free(y);
    y = yaml_in_read(of(""), &f);
    assert_int_equal(yaml_in_line(y, NULL, 0), 0);
    yaml_in_free(y);
}

static int read_all(void)
{
    char *text = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getdelim(&text, &size, 0, stdin)) > 0) {
        json_t *all = answer((struct text){text, (size_t)len - 1});
        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(all);
    }
    free(text);
    return 0;
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_faults),
                                       cmocka_unit_test(test_bounds), cmocka_unit_test(test_lines)};

    if (argc > 1 && strcmp(argv[1], "--read") == 0)
        return read_all();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
