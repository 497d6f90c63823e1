#include "worker/store/logs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s)                                                                                    \
    (struct text)                                                                                  \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

struct got {
    struct log_piece pieces[4];
    size_t n;
};

static bool take(void *arg, const struct log_piece *piece)
{
    struct got *g = arg;

    g->pieces[g->n++] = *piece;
    return g->n < 3;
}

static int phase(const char *name)
{
    return phase_of((struct text){name, strlen(name)});
}

static void test_phases(void **state)
{
    struct got g = {.n = 0};
    struct live_output l = {.take = take, .arg = &g};

    (void)state;
    live_output_change(&l, TEXT("running"), 5);
    live_output_change(&l, TEXT("provision"), 10);
    live_output_change(&l, TEXT("test"), 20);
    assert_true(live_output_give(&l, TEXT("early"), 1));
    assert_true(live_output_give(&l, TEXT("b"), 19));
    assert_false(live_output_give(&l, TEXT(""), 20));
    assert_int_equal(g.pieces[0].phase, phase("provision"));
    assert_int_equal(g.pieces[1].phase, phase("provision"));
    assert_int_equal(g.pieces[2].phase, phase("test"));
    for (int i = 0; i < 3; i++)
        assert_int_equal(g.pieces[i].number, i);
    assert_int_equal(g.pieces[1].at_ms, 19);
    assert_memory_equal(g.pieces[0].text.s, "early", 5);
}

/* Of a job that is not there, and of one with more changes than are kept. */
static void test_edges(void **state)
{
    struct got g = {.n = 0};
    struct live_output l = {.take = take, .arg = &g};

    (void)state;
    live_output_give(&l, TEXT("x"), 7);
    assert_int_equal(g.pieces[0].phase, phase("setup"));
    for (int i = 0; i < HISTORY_MAX + 5; i++)
        live_output_change(&l, TEXT("reserve"), i);
    assert_int_equal(l.changes_len, HISTORY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
