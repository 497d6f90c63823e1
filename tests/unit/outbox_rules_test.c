/* The state of a webhook event after a try. */
#include "worker/store/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { NOW = 1000, DUE = 5000 };

static struct outbox_after after(enum outbox_outcome outcome, size_t answer_len)
{
    static const char answer[OUTBOX_ANSWER_MAX + 1];
    const struct outbox_settle o = {
        .outcome = outcome, .now_ms = NOW, .due_ms = DUE, .answer = {answer, answer_len}};

    return outbox_after(&o);
}

static void check(enum outbox_outcome outcome, bool tried, enum outbox_state state, bool over)
{
    const struct outbox_after a = after(outcome, 3);

    assert_int_equal(a.tried, tried);
    assert_int_equal(a.state, state);
    assert_int_equal(a.over, over);
    assert_int_equal(a.due_ms, over ? NOW : DUE);
    assert_int_equal(a.answer.len, 3);
}

static void test_outcomes(void **state)
{
    (void)state;
    check(OUTBOX_DONE, true, OUTBOX_DELIVERED, true);
    check(OUTBOX_GIVE_UP, true, OUTBOX_DEAD, true);
    check(OUTBOX_RETRY, true, OUTBOX_PENDING, false);
    check(OUTBOX_PUT_BACK, false, OUTBOX_PENDING, false);
}

static void test_answer_is_cut(void **state)
{
    (void)state;
    assert_int_equal(after(OUTBOX_DONE, OUTBOX_ANSWER_MAX).answer.len, OUTBOX_ANSWER_MAX);
    assert_int_equal(after(OUTBOX_DONE, OUTBOX_ANSWER_MAX + 1).answer.len, OUTBOX_ANSWER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_outcomes),
                                       cmocka_unit_test(test_answer_is_cut)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
