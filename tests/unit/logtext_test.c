/* Texts as the inside of JSON strings. */
#include "worker/logs/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s)                                                                                    \
    {                                                                                              \
        s, sizeof s - 1                                                                            \
    }

static const struct {
    struct text in, out;
} rows[] = {
    {TEXT(""), TEXT("")},
    {TEXT("plain ~\x7f"), TEXT("plain ~\x7f")},
    {TEXT("\"\\/"), TEXT("\\\"\\\\/")},
    {TEXT("\b\f\n\r\t"), TEXT("\\b\\f\\n\\r\\t")},
    {TEXT("\0\x01\x1f"), TEXT("\\u0000\\u0001\\u001f")},
    {TEXT("\xc3\xa9\xe2\x82\xac\n"), TEXT("\xc3\xa9\xe2\x82\xac\\n")},
    {TEXT("\xf0\x9f\x98\x80"), TEXT("\xf0\x9f\x98\x80")},
    /* no UTF-8 */
    {TEXT("a\xff"
          "b"),
     TEXT("a\xef\xbf\xbd"
          "b")},
    {TEXT("\xc3"), TEXT("\xef\xbf\xbd")},
    {TEXT("\xed\xa0\x80"), TEXT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
    {TEXT("\xc0\x80"), TEXT("\xef\xbf\xbd\xef\xbf\xbd")},
};

static void test_escapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = BUF_INIT(100);
        assert_int_equal(json_text_add(&b, rows[i].in), ERR_OK);
        assert_int_equal(b.len, rows[i].out.len);
        if (b.len)
            assert_memory_equal(b.data, rows[i].out.s, b.len);
        buf_free(&b);
    }
}

/* A text that does not fit as a whole is not added. */
static void test_whole_or_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t room = 0; room < rows[i].out.len; room++) {
            struct buf b = BUF_INIT(2 + room);
            assert_int_equal(buf_add(&b, "ab", 2), ERR_OK);
            assert_int_equal(json_text_add(&b, rows[i].in), ERR_TOO_LARGE);
            assert_string_equal(b.data, "ab");
            buf_free(&b);
        }
    }
}

/* The start is cut between characters. */
static void test_front(void **state)
{
    static const struct {
        struct text in;
        size_t max, taken;
        const char *out;
    } cuts[] = {
        {TEXT("abc"), 2, 2, "ab"},          {TEXT("abc"), 9, 3, "abc"},
        {TEXT("a\xe2\x82\xac"), 3, 1, "a"}, {TEXT("a\xe2\x82\xac"), 4, 4, "a\xe2\x82\xac"},
        {TEXT("a\n"), 2, 1, "a"},           {TEXT("a\n"), 3, 2, "a\\n"},
        {TEXT("\x01"), 5, 0, ""},           {TEXT("\xff\xff"), 3, 1, "\xef\xbf\xbd"},
        {TEXT("\xe2\x82\xac"), 0, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct buf b = BUF_INIT(100);
        assert_int_equal(json_text_add_front(&b, cuts[i].in, cuts[i].max), cuts[i].taken);
        assert_string_equal(b.data ? b.data : "", cuts[i].out);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_whole_or_nothing),
        cmocka_unit_test(test_front),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
