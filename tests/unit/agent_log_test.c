/* Whether an agent's log holds lines already. */
#include "worker/jobs/agent_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool holds(const char *log, const char *lines)
{
    json_t *in = json_loads(log, 0, NULL), *of = json_loads(lines, 0, NULL);

    assert_non_null(in);
    assert_non_null(of);
    bool is = agent_log_holds(in, of);
    json_decref(in);
    json_decref(of);
    return is;
}

static void test_holds(void **state)
{
    (void)state;
    assert_true(holds("[\"a\", \"b\", \"c\"]", "[\"a\"]"));
    assert_true(holds("[\"a\", \"b\", \"c\"]", "[\"b\", \"c\"]"));
    assert_true(holds("[\"a\", \"a\", \"b\"]", "[\"a\", \"b\"]"));
    assert_true(holds("[\"a\"]", "[]"));
    assert_true(holds("[[1, {\"x\": null}]]", "[[1, {\"x\": null}]]"));
}

static void test_holds_not(void **state)
{
    (void)state;
    assert_false(holds("[]", "[\"a\"]"));
    assert_false(holds("[\"a\", \"b\", \"c\"]", "[\"a\", \"c\"]"));
    assert_false(holds("[\"a\", \"b\"]", "[\"b\", \"a\"]"));
    assert_false(holds("[\"a\", \"b\"]", "[\"a\", \"b\", \"c\"]"));
    assert_false(holds("[\"1\"]", "[1]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_holds),
                                       cmocka_unit_test(test_holds_not)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
