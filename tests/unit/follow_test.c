#include "common/follow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_places(void **state)
{
    static const struct {
        const char *text;
        struct follow_at at;
    } rows[] = {{"0.0.0", {{{0, 0}, {0, 0}}, 0}},
                {"12.3.4", {{{12, 0}, {3, 0}}, 4}},
                {"12+262144.3+1.64", {{{12, 262144}, {3, 1}}, 64}},
                {"9223372036854775807.0.0", {{{INT64_MAX, 0}, {0, 0}}, 0}}};
    static const char *const bad[] = {"",        "1",      "1.2",      "1.2.3.4", "x.2.3",
                                      "1.2.x",   "-1.0.0", "1..3",     ".1.3",    "1.2.",
                                      "1+x.2.3", "+1.2.3", "1+-1.2.3", "1.2.3 4"};
    char text[FOLLOW_AT_SIZE];
    struct follow_at at;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(follow_at_parse((struct text){rows[i].text, strlen(rows[i].text)}, &at));
        assert_memory_equal(&at, &rows[i].at, sizeof at);
        follow_at_print(&at, text);
        assert_string_equal(text, rows[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (follow_at_parse((struct text){bad[i], strlen(bad[i])}, &at))
            fail_msg("\"%s\" is no place", bad[i]);
}

static void test_earlier_places(void **state)
{
    struct follow_at at = {{{5, 10}, {2, 0}}, 3}, other = {{{5, 9}, {3, 0}}, 1};

    (void)state;
    assert_true(follow_log_before(&other.logs[0], &at.logs[0]));
    assert_false(follow_log_before(&at.logs[0], &at.logs[0]));
    follow_at_earliest(&at, &other);
    assert_int_equal(at.logs[0].skip, 9);
    assert_int_equal(at.logs[1].number, 2);
    assert_int_equal(at.history, 1);
}

static void test_events(void **state)
{
    struct follow_event event = {
        .at = {{{1, 0}, {2, 7}}, 3}, .kind = FOLLOW_STATE, .state = UINT64_MAX};
    static const char *const bad[] = {"",
                                      "\n\n",
                                      "1.2.3 0 0\n",
                                      "1.2.3 0 0\nevent: log\n",
                                      "1.2.3 9 0\nevent: log\n\n",
                                      "1.2.3 0 x\nevent: log\n\n",
                                      "1.2.3 0 00000000000000001\nevent: log\n\n",
                                      "1.2.3 0\nevent: log\n\n",
                                      "1.2 0 0\nevent: log\n\n"};
    char line[FOLLOW_LINE_SIZE], body[512];
    struct follow_event found;

    (void)state;
    follow_line_print(&event, line);
    int len =
        snprintf(body, sizeof body, "%sevent: state\ndata: {}\n\n1.2.3 3 0\nevent: end\n\n", line);
    struct text rest = {body, (size_t)len};
    assert_true(follow_event_take(&rest, &found));
    assert_memory_equal(&found.at, &event.at, sizeof found.at);
    assert_true(found.kind == FOLLOW_STATE && found.state == UINT64_MAX);
    assert_true(text_is(found.text, "event: state\ndata: {}\n\n"));
    assert_true(follow_event_take(&rest, &found));
    assert_true(found.kind == FOLLOW_END && text_is(found.text, "event: end\n\n"));
    assert_false(follow_event_take(&rest, &found));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rest = (struct text){bad[i], strlen(bad[i])};
        if (follow_event_take(&rest, &found))
            fail_msg("\"%s\" is no event", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_earlier_places),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
