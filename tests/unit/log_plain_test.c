#include "worker/web/log_tail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *in, *out, *comment;
} rows[] = {
    {"", "", "nothing"},
    {"a\tb\n", "a\tb\n", "as it is"},
    {"\033[31mred\033[0m\n", "red\n", "colours"},
    {"\033[38;5;1;4mx\033[K\n", "x\n", "longer ones"},
    {"a\033[", "a", "one that is cut"},
    {"a\033", "a", "an escape at the end"},
    {"\033]0;title\ax", "x", "a title, with BEL"},
    {"\033]8;;http://x\033\\\\x", "\\x", "a link, with ST"},
    {"\033]never\nended", "\nended", "a title ends with its line"},
    {"\033(Bx\033c", "x", "a set of characters, a reset"},
    {"one\r\ntwo\r\n", "one\ntwo\n", "line ends of Windows"},
    {"10%\r20%\r30%\ndone", "30%\ndone", "a progress bar"},
    {"x\r", "x", "a return at the end"},
    {"x\r\r\n", "x\n", "two before a line end"},
    {"a\a\b\x7f\x01z", "az", "control characters"},
    {"\xf0\x9f\x90\xa7\xc2\x85", "\xf0\x9f\x90\xa7\xc2\x85", "UTF-8"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = strdup(rows[i].in);
        assert_non_null(text);
        size_t len = log_plain(text, strlen(text));
        if (len != strlen(rows[i].out) || memcmp(text, rows[i].out, len) != 0)
            fail_msg("%s: '%.*s'", rows[i].comment, (int)len, text);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
