#include "common/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_sequences(void **state)
{
    static const struct {
        const char *s;
        size_t len, n;
    } rows[] = {
        {"", 0, 0},
        {"a", 1, 1},
        {"\0", 1, 1},
        {"\xc3\xa9x", 3, 2},
        {"\xc3", 1, 0},
        {"\xe2\x82\xac", 3, 3},
        {"\xe2\x82", 2, 0},
        {"\xf0\x9f\x98\x80", 4, 4},
        {"\xf0\x9f\x98", 3, 0},
        {"\x80", 1, 0},
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xed\xa0\x80", 3, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xff", 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(utf8_sequence(rows[i].s, rows[i].len), rows[i].n);
}

static void test_control_characters(void **state)
{
    static const struct {
        const char *s;
        size_t len;
        bool has;
    } rows[] = {
        {"", 0, false},     {"plain text", 10, false}, {"caf\xc3\xa9 \xf0\x9f\x98\x80", 10, false},
        {"a\nb", 3, true},  {"a\0b", 3, true},         {"\x1b[31m", 5, true},
        {"a\x7f", 2, true}, {"\xc2\x9b", 2, true},     {"\xc2\xa0", 2, false},
        {"\x9b", 1, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(utf8_has_control(rows[i].s, rows[i].len), rows[i].has);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_control_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
