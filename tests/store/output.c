/* Live output: appended, read once, in pieces that fit an answer. */
#include "tests/store/suite.h"

#include <stdlib.h>

static enum err append(struct store *s, const char *job_id, enum output_type type, struct text text)
{
    char request[ID_SIZE];

    new_id(request);
    struct output_append a = {
        .asked = asked_now(request), .job_id = text_of(job_id), .type = type, .text = text};
    return append_one(s, &a);
}

/* Asserts what a read gives; text NULL: nothing. */
static void assert_taken(struct store *s, const char *job_id, enum output_type type, bool peek,
                         const char *text)
{
    json_t *entries = NULL;
    enum err e = store_output_take(s, text_of(job_id), type, peek, &entries);

    assert_int_equal(e, text ? ERR_OK : ERR_NOT_FOUND);
    if (text)
        assert_json(entries, text);
    else
        assert_null(entries);
    json_decref(entries);
}

static void test_taken_once(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, NULL);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("one\n")), ERR_OK);
    assert_int_equal(append(t->b, id, OUTPUT_OUTPUT, text_of("")), ERR_OK);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, (struct text){"a\0b\xc3\xa9", 5}), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, true, "['one\\n', '', 'a\\u0000b\\u00e9']");
    assert_taken(t->b, id, OUTPUT_OUTPUT, false, "['one\\n', '', 'a\\u0000b\\u00e9']");
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, NULL);
    assert_taken(t->a, id, OUTPUT_OUTPUT, true, NULL);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("more")), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['more']");
}

static void test_an_empty_entry_is_one(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("")), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['']");
}

static void test_kinds_and_jobs_are_apart(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], other[ID_SIZE];

    new_id(id);
    new_id(other);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("o")), ERR_OK);
    assert_int_equal(append(t->a, id, OUTPUT_SERIAL, text_of("s")), ERR_OK);
    assert_int_equal(append(t->a, other, OUTPUT_OUTPUT, text_of("x")), ERR_OK);
    assert_taken(t->a, other, OUTPUT_SERIAL, false, NULL);
    assert_taken(t->a, id, OUTPUT_SERIAL, false, "['s']");
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['o']");
    assert_taken(t->a, other, OUTPUT_OUTPUT, false, "['x']");
}

static void test_repeat(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], request[ID_SIZE];

    new_id(id);
    new_id(request);
    struct output_append a = {
        .asked = asked_now(request), .job_id = text_of(id), .text = text_of("x")};
    assert_int_equal(append_one(t->a, &a), ERR_OK);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("x")), ERR_OK);
    a.asked.repeat = true;
    assert_int_equal(append_one(t->b, &a), ERR_OK);
    a.type = OUTPUT_SERIAL; /* its first try was lost */
    assert_int_equal(append_one(t->b, &a), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['x', 'x']");
    assert_taken(t->a, id, OUTPUT_SERIAL, false, "['x']");
}

static size_t take_size(struct store *s, const char *job_id, size_t *ret_entries)
{
    json_t *entries = NULL, *entry;
    size_t size = 0, i;

    assert_int_equal(store_output_take(s, text_of(job_id), OUTPUT_OUTPUT, false, &entries), ERR_OK);
    json_array_foreach (entries, i, entry)
        size += json_string_length(entry);
    *ret_entries = json_array_size(entries);
    json_decref(entries);
    return size;
}

/* More than one answer holds comes with several reads, nothing twice, nothing lost. */
static void test_more_than_fits(void **state)
{
    enum { N = 5 };
    struct stores *t = *state;
    char id[ID_SIZE], *big = long_text('x', 7 * MIB);
    size_t size = 0, entries = 0, some;

    new_id(id);
    for (int i = 0; i < N; i++)
        assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, (struct text){big, 7 * MIB}), ERR_OK);
    while (entries < N) {
        size_t now = take_size(t->b, id, &some);
        assert_true(now + some <= STORE_DOCUMENT_MAX);
        size += now;
        entries += some;
    }
    assert_int_equal(size, N * 7 * MIB);
    assert_int_equal(entries, N);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, NULL);
    free(big);
}

static void test_too_large(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], *big = long_text('x', STORE_DOCUMENT_MAX);
    struct text too_large = {big, STORE_DOCUMENT_MAX}, large = {big, STORE_DOCUMENT_MAX - MIB};
    size_t entries;

    new_id(id);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, too_large), ERR_TOO_LARGE);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, large), ERR_OK);
    assert_int_equal(take_size(t->a, id, &entries), large.len);
    assert_int_equal(entries, 1);
    free(big);
}

static void test_many_entries(void **state)
{
    enum { N = 300 };
    struct stores *t = *state;
    char id[ID_SIZE];
    size_t entries;

    new_id(id);
    for (int i = 0; i < N; i++)
        assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("line\n")), ERR_OK);
    assert_int_equal(take_size(t->a, id, &entries), N * 5);
    assert_int_equal(entries, N);
}

const struct CMUnitTest output_suite[] = {
    cmocka_unit_test(test_taken_once),
    cmocka_unit_test(test_an_empty_entry_is_one),
    cmocka_unit_test(test_kinds_and_jobs_are_apart),
    cmocka_unit_test(test_repeat),
    cmocka_unit_test(test_more_than_fits),
    cmocka_unit_test(test_too_large),
    cmocka_unit_test(test_many_entries),
};
SUITE_LEN(output);
