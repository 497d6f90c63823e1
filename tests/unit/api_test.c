#include "common/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* -1: the row has no such method. */
static const struct {
    const char *path;
    int get, post;
    const char *param;
    const char *comment;
} rows[] = {
    {"/v1/",                        OP_VERSION,      -1,            NULL,    "as in the table"          },
    {"/v1",                         OP_VERSION,      -1,            NULL,    "no trailing slash"        },
    {"/v1/job",                     OP_JOB_CLAIM,    OP_JOB_ADD,    NULL,    "two methods of one path"  },
    {"/v1/job/",                    OP_JOB_CLAIM,    OP_JOB_ADD,    NULL,    "one trailing slash"       },
    {"/v1/job/abc",                 OP_JOB_GET,      -1,            "abc",   "a parameter"              },
    {"/v1/job/abc/",                OP_JOB_GET,      -1,            "abc",   "parameter, trailing slash"},
    {"/v1/job/abc/position",        OP_JOB_POSITION, -1,            "abc",   "literal after a parameter"},
    {"/v1/job/abc/action",          -1,              OP_JOB_ACTION, "abc",   "post only"                },
    {"/v1/result/a%2Fb",            OP_RESULT_GET,   OP_RESULT_PUT, "a%2Fb", "parameters stay encoded"  },
    {"/v1/result/x/serial_output/", OP_SERIAL_GET,   OP_SERIAL_ADD, "x",     "last row of a family"     },
    {"/v1/jobs",                    -1,              -1,            NULL,    "longer literal"           },
    {"/v1/jo",                      -1,              -1,            NULL,    "shorter literal"          },
    {"/V1/job",                     -1,              -1,            NULL,    "case matters"             },
    {"/v1/job//",                   -1,              -1,            NULL,    "an empty parameter"       },
    {"/v1//job",                    -1,              -1,            NULL,    "an empty segment"         },
    {"/v1/job/a/b/c",               -1,              -1,            NULL,    "too many segments"        },
    {"/",                           -1,              -1,            NULL,    "root"                     },
    {"",                            -1,              -1,            NULL,    "nothing"                  },
    {"v1/job",                      -1,              -1,            NULL,    "no slash in front"        },
};

static int op_of(const struct route *r)
{
    return r ? (int)r->op : -1;
}

static void test_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct route_match m = {0};
        bool found = route_match(rows[i].path, strlen(rows[i].path), &m);
        if (found != (rows[i].get >= 0 || rows[i].post >= 0) ||
            op_of(m.by_method[HTTP_GET]) != rows[i].get ||
            op_of(m.by_method[HTTP_POST]) != rows[i].post)
            fail_msg("%s: %s", rows[i].path, rows[i].comment);
        if (!rows[i].param)
            continue;
        assert_int_equal(m.params_len, 1);
        assert_int_equal(m.params[0].len, strlen(rows[i].param));
        assert_memory_equal(m.params[0].start, rows[i].param, m.params[0].len);
    }
}

static void test_rows_are_distinct(void **state)
{
    (void)state;
    for (size_t i = 0; i < OP_COUNT_; i++) {
        assert_int_equal(routes[i].op, i);
        for (size_t j = 0; j < i; j++)
            if (*routes[i].path && routes[i].method == routes[j].method &&
                !strcmp(routes[i].path, routes[j].path))
                fail_msg("%s and %s are the same", routes[i].name, routes[j].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_rows_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
