#include "worker/http/cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *header;
    const char *value; /* NULL: not found */
    const char *comment;
} get_rows[] = {
    {"agent_name=rpi4-001", "rpi4-001", "plain"},
    {"a=b; agent_name=x; c=d", "x", "among others"},
    {"a=b;agent_name=x", "x", "no space"},
    {"agent_name=\"a b\"", "a b", "quoted"},
    {"agent_name=\"a\\073b\"", "a;b", "octal"},
    {"agent_name=\"\\303\\251\"", "\xc3\xa9", "octal UTF-8"},
    {"agent_name=\"a\\377\"", NULL, "octal, not UTF-8"},
    {"agent_name=\"a\\\"b\"", "a\"b", "escaped quote"},
    {"x=\"a;agent_name=no\"; agent_name=y", "y", "a semicolon within quotes"},
    {"agent_name=", NULL, "empty"},
    {"agent_name=\"\"", NULL, "empty, quoted"},
    {"xagent_name=1", NULL, "another name that ends so"},
    {"agent_name", NULL, "no value"},
    {"", NULL, "no cookie"},
    {"agent_name=\"", "\"", "a lone quote is taken as it is"},
    {"agent_name=0123456789012345678901234567890123", NULL, "longer than the maximum"},
};

static void test_get(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof get_rows / sizeof *get_rows; i++) {
        struct buf out = BUF_INIT(32);
        struct text header = {get_rows[i].header, strlen(get_rows[i].header)};
        bool found = cookie_get(header, "agent_name", &out);
        if (found != (get_rows[i].value != NULL) ||
            (found && strcmp(out.data, get_rows[i].value) != 0))
            fail_msg("%s: %s", get_rows[i].header, get_rows[i].comment);
        buf_free(&out);
    }
}

static const struct {
    const char *value, *quoted;
} quote_rows[] = {
    {"rpi4-001", "rpi4-001"},
    {"a b", "\"a b\""},
    {"a;b", "\"a\\073b\""},
    {"a\"b\\", "\"a\\042b\\134\""},
    {"\xc3\xa9", "\"\\303\\251\""},
    {"a\r\nb", "\"a\\015\\012b\""},
    {"", "\"\""},
};

static void test_quote(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof quote_rows / sizeof *quote_rows; i++) {
        struct buf out = BUF_INIT(64), back = BUF_INIT(64);
        struct text value = {quote_rows[i].value, strlen(quote_rows[i].value)};
        assert_int_equal(cookie_quote(value, &out), ERR_OK);
        assert_string_equal(out.data, quote_rows[i].quoted);
        buf_free(&back);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
