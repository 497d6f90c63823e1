#include "worker/jobs/percentiles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *values, *expected, *comment;
} rows[] = {
    {"[]", "{}", "nothing"},
    {"[10]", "{\"5\":10,\"10\":10,\"50\":10,\"90\":10,\"95\":10}", "one value"},
    {"[7,3]", "{\"5\":3.2,\"10\":3.4,\"50\":5.0,\"90\":6.6,\"95\":6.8}", "two, unsorted"},
    {"[5,4,3,2,1]", "{\"5\":1.2,\"10\":1.4,\"50\":3.0,\"90\":4.6,\"95\":4.8}", "five"},
    {"[null,\"x\",4]", "{\"5\":4,\"10\":4,\"50\":4,\"90\":4,\"95\":4}", "others are left out"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *values = json_loads(rows[i].values, 0, NULL), *got = percentiles(values);
        char *text = json_dumps(got, JSON_COMPACT | JSON_REAL_PRECISION(10));
        json_t *rounded = json_loads(text, 0, NULL),
               *expected = json_loads(rows[i].expected, 0, NULL);
        if (!json_equal(rounded, expected))
            fail_msg("%s: got %s, expected %s", rows[i].comment, text, rows[i].expected);
        json_decref(values);
        json_decref(got);
        json_decref(rounded);
        json_decref(expected);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
