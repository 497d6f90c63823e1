/* Log lines: no client can forge or hide one, or make one that is not JSON. */
#include "common/log.h"
#include "common/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char line[LOG_LINE_MAX + 1];

/* What is written to stderr for a message. */
static const char *logged(enum log_format format, const char *message)
{
    int fds[2], before = dup(STDERR_FILENO);

    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    log_setup("test", format, LOG_INFO);
    log_error("%s", message);
    dup2(before, STDERR_FILENO);
    close(before);
    close(fds[1]);
    ssize_t n = read(fds[0], line, LOG_LINE_MAX);
    close(fds[0]);
    assert_true(n > 0);
    line[n] = '\0';
    return line;
}

static void test_one_line_of_valid_text(void **state)
{
    static const char *const messages[] = {
        "a\nb",
        "a\r\nb",
        "\x1b[2Jgone",
        "\x7f",
        "csi \xc2\x9b"
        "31m",
        "\xff",
        "cut \xf0\x9f",
        "\xc0\x80",
        "caf\xc3\xa9",
        "\"quoted\" \\",
    };

    (void)state;
    for (int format = LOG_TEXT; format <= LOG_JSON; format++)
        for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
            const char *s = logged((enum log_format)format, messages[i]);
            size_t len = strlen(s);
            assert_int_equal(s[len - 1], '\n');
            assert_false(utf8_has_control(s, len - 1));
            for (size_t k = 0, n; k < len; k += n) {
                n = utf8_sequence(s + k, len - k);
                assert_true(n > 0);
            }
        }
}

static void test_what_stands_for_them(void **state)
{
    (void)state;
    for (int format = LOG_TEXT; format <= LOG_JSON; format++)
        assert_non_null(
            strstr(logged((enum log_format)format, "\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xaa"),
                   "\\u2028|\\u2029|\xe2\x80\xaa"));
    assert_non_null(strstr(logged(LOG_TEXT, "a\nb\x1b[31m\xff \xc3\xa9 \"q\""),
                           "a\\x0ab\\x1b[31m\\xff \xc3\xa9 \"q\"\n"));
    assert_non_null(strstr(logged(LOG_JSON, "a\nb\x7f\xff \xc3\xa9 \"q\""),
                           "\"message\": \"a\\u000ab\\u007f\\ufffd \xc3\xa9 \\\"q\\\"\"}\n"));
}

static void test_a_long_message_is_cut_between_characters(void **state)
{
    char message[3000];

    (void)state;
    for (size_t i = 0; i + 4 < sizeof message; i += 4)
        memcpy(message + i, "\xf0\x9f\x98\x80", 4);
    message[sizeof message - 4] = '\0';
    for (size_t shift = 0; shift < 4; shift++) {
        const char *s = logged(LOG_JSON, message + 4 * shift);
        assert_non_null(strstr(s, "\"}\n"));
        assert_false(utf8_has_control(s, strlen(s) - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line_of_valid_text),
        cmocka_unit_test(test_what_stands_for_them),
        cmocka_unit_test(test_a_long_message_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
