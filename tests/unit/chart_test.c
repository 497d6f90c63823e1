#include "worker/web/chart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NOW    ((int64_t)1796000000000)
#define MINUTE ((int64_t)60000)

static int64_t number(const json_t *chart, const char *name)
{
    return json_integer_value(json_object_get(chart, name));
}

static void test_bars(void **state)
{
    json_t *rows = json_pack("[{s:i}, {s:i}, {}]", "seconds", 50, "seconds", 200);

    (void)state;
    chart_bars(rows);
    assert_int_equal(number(json_array_get(rows, 0), "width"), 25);
    assert_int_equal(number(json_array_get(rows, 1), "width"), 100);
    assert_int_equal(number(json_array_get(rows, 2), "width"), 0);
    json_decref(rows);
}

static void test_depth(void **state)
{
    /* newest first: one waits, two overlapped for five minutes, one left before the chart begins */
    const struct job_wait waits[] = {{NOW - 30 * MINUTE, 0},
                                     {NOW - 95 * MINUTE, NOW - 60 * MINUTE},
                                     {NOW - 100 * MINUTE, NOW - 90 * MINUTE},
                                     {NOW - 40 * 60 * MINUTE, NOW - 30 * 60 * MINUTE}};
    json_t *chart = chart_depth(waits, 4, false, 1, NOW);

    (void)state;
    assert_int_equal(number(chart, "most"), 2);
    assert_int_equal(number(chart, "now"), 1);
    assert_true(json_is_false(json_object_get(chart, "is_cut")));
    assert_int_equal(strncmp(json_string_value(json_object_get(chart, "area")), "M0 100", 6), 0);
    json_decref(chart);
    assert_true(json_is_null(chart_depth(NULL, 0, false, 0, NOW)));
    assert_true(json_is_null(chart_depth(&waits[3], 1, false, 0, NOW)));
    /* those of before, which nobody has taken */
    chart = chart_depth(NULL, 0, false, 7, NOW);
    assert_int_equal(number(chart, "most"), 7);
    json_decref(chart);
    /* what is known begins within the day */
    chart = chart_depth(waits, 3, true, 1, NOW);
    assert_true(json_is_true(json_object_get(chart, "is_cut")));
    json_decref(chart);
}

static json_t *job(int64_t from, int64_t to)
{
    return json_pack("{s:s, s:I, s:o}", "job_id", "j", "started_at", (json_int_t)from, "ended_at",
                     to ? json_integer(to) : json_null());
}

static void test_timeline(void **state)
{
    json_t *none = json_array(), *block;
    json_t *jobs = json_pack("[o, o, o, o]", job(NOW - 6 * 60 * MINUTE, 0),
                             job(NOW - 12 * 60 * MINUTE, NOW - 6 * 60 * MINUTE),
                             job(NOW - 13 * 60 * MINUTE, NOW - 13 * 60 * MINUTE + 1),
                             job(NOW - 50 * 60 * MINUTE, NOW - 49 * 60 * MINUTE));
    json_t *chart = chart_timeline(jobs, true, NOW);
    size_t i;

    (void)state;
    assert_int_equal(number(chart, "count"), 3);
    assert_int_equal(number(chart, "busy"), 50);
    assert_true(json_is_false(json_object_get(chart, "is_cut")));
    json_array_foreach (json_object_get(chart, "blocks"), i, block) {
        assert_true(number(block, "x") >= 0 && number(block, "width") >= 4);
        assert_true(number(block, "x") + number(block, "width") <= 1440);
    }
    json_decref(chart);
    assert_true(json_is_null(chart_timeline(none, false, NOW)));
    json_decref(none);
    json_decref(jobs);
}

static void test_provisions(void **state)
{
    json_t *log = json_array(), *day, *none = json_pack("[{s:n}]", "timestamp");

    (void)state;
    for (int i = 0; i < 20; i++) /* a day each; every fourth failed */
        json_array_append_new(log, json_pack("{s:I, s:i}", "timestamp",
                                             (json_int_t)(NOW + i * 24 * 60 * MINUTE), "exit_code",
                                             i % 4 == 0));
    json_t *chart = chart_provisions(log), *days = json_object_get(chart, "days");
    assert_int_equal(number(chart, "count"), 14);
    assert_int_equal(number(chart, "all"), 14);
    assert_int_equal(number(chart, "passed"), 11);
    day = json_array_get(days, 13);
    assert_int_equal(number(day, "good") + number(day, "bad"), 100);
    assert_int_equal(number(day, "x"), 131);
    json_decref(chart);
    assert_true(json_is_null(chart_provisions(none)));
    json_decref(none);
    json_decref(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bars), cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_timeline),
                                       cmocka_unit_test(test_provisions)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
