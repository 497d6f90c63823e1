/* Conditional GETs and ranges of a file (RFC 9110, 13 and 14). */
#include "frontend/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ETAG "\"abc\""
#define DATE "Tue, 24 Nov 2026 12:25:45 GMT"

static void test_ranges(void **state)
{
    static const struct {
        const char *range;
        int64_t length;
        struct range want;
    } rows[] = {
        {NULL, 100, {200, 0, 100}},
        {"bytes=0-9", 100, {206, 0, 10}},
        {"BYTES= 0-9 ", 100, {206, 0, 10}},
        {"bytes=99-", 100, {206, 99, 100}},
        {"bytes=90-1000", 100, {206, 90, 100}},
        {"bytes=0-99999999999999999999999", 100, {206, 0, 100}},
        {"bytes=-1", 100, {206, 99, 100}},
        {"bytes=-1000", 100, {206, 0, 100}},
        {"bytes=-99999999999999999999999", 100, {206, 0, 100}},
        {"bytes=-0", 100, {416, 0, 0}},
        {"bytes=100-", 100, {416, 0, 0}},
        {"bytes=99999999999999999999999-", 100, {416, 0, 0}},
        {"bytes=0-", 0, {416, 0, 0}},
        {"bytes=-5", 0, {416, 0, 0}},
        /* not understood: the whole file */
        {"", 100, {200, 0, 100}},
        {"bytes=", 100, {200, 0, 100}},
        {"bytes=-", 100, {200, 0, 100}},
        {"bytes=5", 100, {200, 0, 100}},
        {"bytes=9-5", 100, {200, 0, 100}},
        {"bytes=0-1,5-6", 100, {200, 0, 100}},
        {"bytes=0-1x", 100, {200, 0, 100}},
        {"bytes=+1-5", 100, {200, 0, 100}},
        {"bytes=0x1-5", 100, {200, 0, 100}},
        {"bytes = 0-1", 100, {200, 0, 100}},
        {"items=0-1", 100, {200, 0, 100}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct range_request r = {.range = rows[i].range};
        struct range got = range_decide(&r, rows[i].length, ETAG, DATE), want = rows[i].want;
        if (got.status != want.status ||
            (want.status != 416 && (got.first != want.first || got.end != want.end)))
            fail_msg("row %zu: %d, %lld to %lld", i, got.status, (long long)got.first,
                     (long long)got.end);
    }
}

static void test_conditions(void **state)
{
    static const struct {
        struct range_request r;
        int status;
    } rows[] = {
        {{.if_none_match = ETAG}, 304},
        {{.if_none_match = "*"}, 304},
        {{.if_none_match = "\"x\", W/" ETAG}, 304},
        {{.if_none_match = "\"x\"," ETAG ",\"y\""}, 304},
        {{.if_none_match = "\"ab\""}, 200},
        {{.if_none_match = "x" ETAG}, 200},
        {{.if_none_match = ""}, 200},
        {{.range = "bytes=0-1", .if_none_match = ETAG}, 304},
        {{.range = "bytes=0-1", .if_none_match = "\"x\""}, 206},
        {{.range = "bytes=0-1", .if_range = ETAG}, 206},
        {{.range = "bytes=0-1", .if_range = DATE}, 206},
        {{.range = "bytes=0-1", .if_range = "W/" ETAG}, 200},
        {{.range = "bytes=0-1", .if_range = "\"x\""}, 200},
        {{.range = "bytes=0-1", .if_range = "Tue, 24 Nov 2026 12:25:46 GMT"}, 200},
        {{.range = "bytes=200-", .if_range = "\"x\""}, 200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct range got = range_decide(&rows[i].r, 100, ETAG, DATE);
        if (got.status != rows[i].status)
            fail_msg("row %zu: %d", i, got.status);
    }
}

static void test_dates(void **state)
{
    char text[RANGE_DATE_SIZE];

    (void)state;
    range_date(0, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    range_date(1795523145999, text);
    assert_string_equal(text, DATE);
    range_date(INT64_MAX, text); /* no year of four digits: it fits nevertheless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_dates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
