/* Results: fields set one by one, and states that never go backwards. */
#include "tests/store/suite.h"

#include <stdio.h>
#include <stdlib.h>

static void one_job(struct store *s, char id[ID_SIZE])
{
    char queue[ID_SIZE];

    new_id(queue);
    add_job(s, queue, NULL, id);
}

static void test_fields(void **state)
{
    static const struct {
        const char *fields, *state, *result;
    } steps[] = {
        {"{'status': {'setup': 0}}", "setup", "{'job_state': 'setup', 'status': {'setup': 0}}"},
        {"{'z': 1, 'a': null}", NULL,
         "{'job_state': 'setup', 'status': {'setup': 0}, 'z': 1, 'a': null}"},
        {"{'status': {'test': 1}}", "test",
         "{'job_state': 'test', 'status': {'test': 1}, 'z': 1, 'a': null}"},
        {"{}", "cleanup", "{'job_state': 'cleanup', 'status': {'test': 1}, 'z': 1, 'a': null}"},
        {"{}", NULL, "{'job_state': 'cleanup', 'status': {'test': 1}, 'z': 1, 'a': null}"},
        {"{'z': {'a.b': ['$x', 'n\\u0000l']}}", "cleanup",
         "{'job_state': 'cleanup', 'status': {'test': 1}, 'z': {'a.b': ['$x', 'n\\u0000l']}, 'a': "
         "null}"},
        {"{'a': '$z', 'e': ''}", "complete",
         "{'job_state': 'complete', 'status': {'test': 1}, 'z': {'a.b': ['$x', 'n\\u0000l']}, 'a': "
         "'$z', 'e': ''}"},
    };
    struct stores *t = *state;
    char id[ID_SIZE];

    one_job(t->a, id);
    assert_result(t->a, id, "{'job_state': 'waiting'}");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_int_equal(put_result(t->a, id, steps[i].fields, steps[i].state), ERR_OK);
        assert_result(t->b, id, steps[i].result);
    }
}

static void test_states(void **state)
{
    static const struct {
        const char *from, *to;
        bool follows;
    } rows[] = {
        {"running", "setup", true},      {"setup", "running", false},
        {"running", "waiting", false},   {"test", "provision", false},
        {"test", "odd", true},           {"odd", "setup", true},
        {"odd", "waiting", true},        {"cleanup", "reserve", false},
        {"cancelled", "cleanup", false}, {"cancelled", "odd", false},
        {"cancelled", "complete", true}, {"complete", "completed", true},
        {"completed", "complete", true}, {"complete", "cancelled", false},
        {"complete", "test", false},     {"reserve", "complete", true},
    };
    struct stores *t = *state;
    char id[ID_SIZE], expected[128];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        one_job(t->a, id);
        assert_int_equal(put_result(t->a, id, "{}", rows[i].from), ERR_OK);
        assert_state(t->a, id, rows[i].from);
        /* the fields are stored whatever becomes of the state */
        assert_int_equal(put_result(t->b, id, "{'late': 1}", rows[i].to), ERR_OK);
        snprintf(expected, sizeof expected, "{'job_state': '%s', 'late': 1}",
                 rows[i].follows ? rows[i].to : rows[i].from);
        assert_result(t->a, id, expected);
    }
}

static void test_too_large(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], *big = long_text('x', 9 * MIB);
    struct result_put p = {.asked = asked_now("x"),
                           .fields = json_pack("{s:s}", "test_output", big)};

    one_job(t->a, id);
    assert_int_equal(put_one_result(t->a, text_of(id), &p), ERR_OK);
    json_decref(p.fields);
    p.asked = asked_now("y");
    p.fields = json_pack("{s:s,s:i}", "setup_output", big, "i", 1);
    p.job_state = "complete";
    assert_int_equal(put_one_result(t->a, text_of(id), &p), ERR_TOO_LARGE);
    json_decref(p.fields);
    assert_state(t->a, id, "waiting");
    assert_int_equal(put_result(t->a, id, "{'test_output': 'short'}", "complete"), ERR_OK);
    assert_result(t->a, id, "{'job_state': 'complete', 'test_output': 'short'}");
    free(big);
}

/* A part has at least what it is for; together they get what any of them needs. */
static void test_parts(void **state)
{
    static const enum result_part parts[] = {RESULT_STATE, RESULT_FIELDS, RESULT_ALL};
    struct stores *t = *state;
    char id[ID_SIZE], none[ID_SIZE];

    one_job(t->a, id);
    new_id(none);
    assert_int_equal(
        put_result(t->a, id, "{'test_output': 'o', 'test_status': 1, 'a.b': 2}", "test"), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        struct job_read reads[] = {{.job_id = text_of(id), .part = parts[i]},
                                   {.job_id = text_of(none), .part = parts[i]},
                                   {.job_id = text_of(id), .part = RESULT_STATE}};
        for (size_t n = 1; n <= 3; n += 2) {
            assert_int_equal(store_results_get(t->b, reads, n), ERR_OK);
            json_t *value = reads[0].value;
            assert_int_equal(reads[0].err, ERR_OK);
            assert_string_equal(json_string_value(json_object_get(value, "job_state")), "test");
            if (parts[i] != RESULT_STATE)
                assert_int_equal(json_integer_value(json_object_get(value, "a.b")), 2);
            if (parts[i] == RESULT_ALL)
                assert_string_equal(json_string_value(json_object_get(value, "test_output")), "o");
            json_decref(value);
            if (n == 1)
                continue;
            assert_int_equal(reads[1].err, ERR_NOT_FOUND);
            assert_int_equal(reads[2].err, ERR_OK);
            json_decref(reads[2].value);
        }
    }
}

/* A late first run of a request that another process has run: of a job that runs, and of one that
 * waits again. */
static void test_late_result(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], requests[2][ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, NULL, id);
    assert_next(t->a, queue, id);
    for (int i = 0; i < 3; i++) { /* the third is the first */
        struct result_put p = {.job_id = text_of(id),
                               .fields = json_of(i == 1 ? "{'x': 2}" : "{'x': 1}"),
                               .job_state = i == 1 ? "test" : "setup"};
        if (i < 2)
            new_id(requests[i]);
        p.asked = asked_now(requests[i % 2]);
        assert_int_equal(store_results_put(i ? t->b : t->a, &p, 1), ERR_OK);
        assert_int_equal(p.err, ERR_OK);
        if (i == 1)
            assert_int_equal(resubmit(t->a, queue, NULL, id), ERR_OK);
        json_decref(p.fields);
    }
    assert_result(t->a, id, "{'job_state': 'waiting'}");
}

const struct CMUnitTest results_suite[] = {
    cmocka_unit_test(test_late_result), cmocka_unit_test(test_parts),
    cmocka_unit_test(test_fields),      cmocka_unit_test(test_states),
    cmocka_unit_test(test_too_large),
};
SUITE_LEN(results);
