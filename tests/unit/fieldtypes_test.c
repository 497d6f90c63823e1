#include "worker/validation/fieldtypes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A text with its length, so that it may hold NUL characters. */
#define T(literal)   literal, sizeof(literal) - 1
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *text;
    size_t len;
    enum integer_fault fault;
    int64_t n;
    const char *comment;
} integers[] = {
    {T("0"), INTEGER_OK, 0, "zero"},
    {T("-0"), INTEGER_OK, 0, "minus zero"},
    {T(" 5 "), INTEGER_OK, 5, "space around"},
    {T("\t\n\v\f\r5\r\n"), INTEGER_OK, 5, "other white space"},
    {T("\xe2\x80\x83"
       "5\xc2\xa0"),
     INTEGER_OK, 5, "white space of Unicode"},
    {T("+5"), INTEGER_OK, 5, "plus"},
    {T("-5"), INTEGER_OK, -5, "minus"},
    {T("1_000"), INTEGER_OK, 1000, "underscore"},
    {T("0_0_7"), INTEGER_OK, 7, "leading zeros"},
    {T("00000000000000000000000000000000000000009"), INTEGER_OK, 9, "many leading zeros"},
    {T("\xd9\xa5"), INTEGER_OK, 5, "an Arabic digit"},
    {T("1\xef\xbc\x92_\xf0\x9d\x9f\xab"), INTEGER_OK, 129, "digits of several scripts"},
    {T("9223372036854775807"), INTEGER_OK, INT64_MAX, "the highest"},
    {T("-9223372036854775808"), INTEGER_OK, INT64_MIN, "the lowest"},
    {T("9223372036854775808"), INTEGER_TOO_LONG, 0, "above the highest"},
    {T("-9223372036854775809"), INTEGER_TOO_LONG, 0, "below the lowest"},
    {T("1180591620717411303424"), INTEGER_TOO_LONG, 0, "71 bits"},
    {T(""), INTEGER_INVALID, 0, "empty"},
    {T("  "), INTEGER_INVALID, 0, "only space"},
    {T("5.0"), INTEGER_INVALID, 0, "a fraction"},
    {T("1e3"), INTEGER_INVALID, 0, "an exponent"},
    {T("0x5"), INTEGER_INVALID, 0, "hexadecimal"},
    {T("_5"), INTEGER_INVALID, 0, "underscore first"},
    {T("5_"), INTEGER_INVALID, 0, "underscore last"},
    {T("5__0"), INTEGER_INVALID, 0, "two underscores"},
    {T("+_5"), INTEGER_INVALID, 0, "underscore after the sign"},
    {T("- 5"), INTEGER_INVALID, 0, "space after the sign"},
    {T("--5"), INTEGER_INVALID, 0, "two signs"},
    {T("+"), INTEGER_INVALID, 0, "only a sign"},
    {T("5 5"), INTEGER_INVALID, 0, "space inside"},
    {T("5\0"), INTEGER_INVALID, 0, "a NUL"},
    {T("\x1c"
       "5"),
     INTEGER_INVALID, 0, "a separator that is no space to numbers"},
    {T("inf"), INTEGER_INVALID, 0, "a word"},
    {T("\xc2\xb2"), INTEGER_INVALID, 0, "a superscript is no decimal digit"},
    {T("\xff"
       "5"),
     INTEGER_INVALID, 0, "not UTF-8"},
    {T("5\xe2\x80"), INTEGER_INVALID, 0, "UTF-8 cut off"},
    {T("99999999999999999999x"), INTEGER_INVALID, 0, "long, and no integer"},
};

static void test_integer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(integers); i++) {
        int64_t n = 77;
        enum integer_fault fault = integer_from_text(integers[i].text, integers[i].len, &n);
        if (fault != integers[i].fault || n != (fault ? 77 : integers[i].n))
            fail_msg("'%s': %s", integers[i].text, integers[i].comment);
    }
}

static const struct {
    double real;
    enum integer_fault fault;
    int64_t n;
    const char *comment;
} reals[] = {
    {5.7, INTEGER_OK, 5, "truncated"},
    {-5.7, INTEGER_OK, -5, "toward zero"},
    {-0.9, INTEGER_OK, 0, "to zero"},
    {1e18, INTEGER_OK, 1000000000000000000, "large"},
    {-0x1p63, INTEGER_OK, INT64_MIN, "the lowest"},
    {0x1p63, INTEGER_TOO_LONG, 0, "above the highest"},
    {-1e19, INTEGER_TOO_LONG, 0, "below the lowest"},
    {1e300, INTEGER_TOO_LONG, 0, "far above"},
    {(double)INFINITY, INTEGER_INFINITE, 0, "infinite"},
    {-(double)INFINITY, INTEGER_INFINITE, 0, "infinite below"},
    {(double)NAN, INTEGER_INVALID, 0, "not a number"},
};

static void test_real(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(reals); i++) {
        int64_t n = 77;
        enum integer_fault fault = integer_from_real(reals[i].real, &n);
        if (fault != reals[i].fault || n != (fault ? 77 : reals[i].n))
            fail_msg("%g: %s", reals[i].real, reals[i].comment);
    }
}

static void test_boolean(void **state)
{
    static const char *const yes[] = {"t",  "T", "true", "True", "TRUE", "on",  "On",
                                      "ON", "y", "Y",    "yes",  "Yes",  "YES", "1"};
    static const char *const no[] = {"f",   "F", "false", "False", "FALSE", "off", "Off",
                                     "OFF", "n", "N",     "no",    "No",    "NO",  "0"};
    static const char *const neither[] = {"",   "tRue", "2",  " true", "true ",
                                          "tr", "oN",   "01", "-1"};
    bool value;

    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++) {
        value = false;
        assert_true(boolean_from_text(yes[i], strlen(yes[i]), &value));
        assert_true(value);
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        value = true;
        assert_true(boolean_from_text(no[i], strlen(no[i]), &value));
        assert_false(value);
    }
    for (size_t i = 0; i < COUNT(neither); i++)
        assert_false(boolean_from_text(neither[i], strlen(neither[i]), &value));
    assert_false(boolean_from_text(T("true\0"), &value));
}

#define LABEL_63 "a12345678901234567890123456789012345678901234567890123456789012"

struct checked {
    const char *text;
    size_t len;
    bool valid;
    const char *comment;
};

static const struct checked urls[] = {
    {T("http://img.example.com/core.img.xz"), true, "usual"},
    {T("HtTpS://a.com"), true, "scheme in any case"},
    {T("ftp://a.com/x"), true, "ftp"},
    {T("ftps://a.com/x"), true, "ftps"},
    {T("http://localhost"), true, "localhost"},
    {T("http://LocalHost:8000/x"), true, "localhost in any case, port"},
    {T("http://a.com/"), true, "a slash"},
    {T("http://a.com/?"), true, "a slash and more"},
    {T("http://a.com?x"), true, "a query without a path"},
    {T("http://a.com."), true, "final dot"},
    {T("http://a.b.c.example-x.org"), true, "many labels"},
    {T("http://" LABEL_63 ".com"), true, "the longest label"},
    {T("http://a.--"), true, "the last label may be hyphens"},
    {T("http://a.12"), true, "or digits"},
    {T("http://999.1.1.1:1/x"), true, "four groups of digits"},
    {T("http://[::1]"), true, "address in brackets"},
    {T("http://[fe80::AB]:80/x"), true, "with a port"},
    {T("http://[:1]"), true, "something after the first colon"},
    {T("http://u@a.com"), true, "user"},
    {T("http://u:p@a.com:80/x"), true, "user and password"},
    {T("http://@a.com"), true, "empty user"},
    {T("http://a.com/x@y:z"), true, "an @ in the path"},
    {T("http://a.com:00099999"), true, "any digits as a port"},
    {T("http://a.com/\xc3\xa9"), true, "letters of any script in the path"},
    {T(""), false, "empty"},
    {T("a.com"), false, "no scheme"},
    {T("http:/a.com"), false, "one slash"},
    {T("http//a.com"), false, "no colon"},
    {T("http://"), false, "no host"},
    {T("http:///x"), false, "a path only"},
    {T("gopher://a.com"), false, "another scheme"},
    {T("file://localhost/x"), false, "another scheme"},
    {T("://a.com"), false, "empty scheme"},
    {T("http://maas/x"), false, "no dot"},
    {T("http://h.c/x"), false, "last label of one character"},
    {T("http://a_b.com/"), false, "underscore"},
    {T("http://-a.com"), false, "label begins with a hyphen"},
    {T("http://a-.com"), false, "label ends with a hyphen"},
    {T("http://a..com"), false, "empty label"},
    {T("http://.com"), false, "empty first label"},
    {T("http://a.com.."), false, "two final dots"},
    {T("http://" LABEL_63 "b.com"), false, "a label of 64"},
    {T("http://localhost."), false, "localhost with a dot"},
    {T("http://1.2.3"), false, "three groups"},
    {T("http://1.2.3.4."), false, "groups with a final dot"},
    {T("http://1.2.3.4444x"), true, "a name that looks like groups"},
    {T("http://[1:]"), false, "nothing after the colon"},
    {T("http://[12]"), false, "no colon in brackets"},
    {T("http://[::g]"), false, "not hexadecimal"},
    {T("http://[::1"), false, "not closed"},
    {T("http://[::1]x"), false, "text after the bracket"},
    {T("http://a.com:"), false, "empty port"},
    {T("http://a.com:x"), false, "port is no number"},
    {T("http://a.com?"), false, "empty query"},
    {T("http://a.com#x"), false, "fragment without a path"},
    {T("http://u@"), false, "no host after the user"},
    {T("http://u@a@b.com"), false, "two @"},
    {T("http://x#u@a.com"), false, "another host to other readers"},
    {T("http://a.com/a b"), false, "space in the path"},
    {T(" http://a.com"), false, "space before"},
    {T("http://a.com/x\n"), false, "line end after"},
    {T("http://a b@a.com"), false, "space in the user"},
    {T("http://a.com/\xe2\x80\x83"), false, "space of Unicode"},
    {T("http://a.com/\0x"), false, "a NUL"},
    {T("http://\xc3\xa9.com"), false, "a host of other letters"},
};

static const struct checked emails[] = {
    {T("a@b.com"), true, "usual"},
    {T("a.b+c_d@b-c.example"), true, "dot-atom"},
    {T("!#$%&'*+/=?^`{}|~-@b.com"), true, "all marks"},
    {T("\"a@b\"@c.de"), true, "quoted"},
    {T("\"a\\\"\\ b\"@c.de"), true, "quoted, escaped"},
    {T("\"\"@c.de"), true, "empty quotes"},
    {T("a@localhost"), true, "localhost"},
    {T("a@[127.0.0.1]"), true, "an IPv4 address"},
    {T("a@[255.001.1.01]"), true, "leading zeros"},
    {T("\xc3\xa9@b.com"), true, "letters of any script"},
    {T(""), false, "empty"},
    {T("@"), false, "only @"},
    {T("a"), false, "no @"},
    {T("a@"), false, "no domain"},
    {T("@b.com"), false, "no user"},
    {T("a@b"), false, "no dot"},
    {T("a@b.c"), false, "last label of one character"},
    {T("a@b.com."), false, "final dot"},
    {T("a@-b.com"), false, "hyphen first"},
    {T("a@LOCALHOST"), false, "localhost is in lower case"},
    {T("a@[256.1.1.1]"), false, "above 255"},
    {T("a@[1.1.1]"), false, "three groups"},
    {T("a@[1.1.1.1.1]"), false, "five groups"},
    {T("a@[::1]"), false, "not IPv4"},
    {T("a@[]"), false, "empty brackets"},
    {T(".a@b.com"), false, "dot first"},
    {T("a.@b.com"), false, "dot last"},
    {T("a..b@c.com"), false, "two dots"},
    {T("a b@c.com"), false, "space"},
    {T("\xc2\xa0@c.com"), false, "space of Unicode"},
    {T("a,b@c.com"), false, "comma"},
    {T("a\0@c.com"), false, "a NUL"},
    {T("\"a\"b\"@c.de"), false, "quote inside quotes"},
    {T("\"a b\"@c.de"), false, "space in quotes that is not escaped"},
    {T("\"a\\\"@c.de"), false, "the last quote is escaped"},
    {T("\"a\n\"@c.de"), false, "line end in quotes"},
    {T("\"@c.de"), false, "one quote"},
    {T("a@b.com\n"), false, "line end"},
};

static void check_all(bool (*check)(const char *, size_t), const struct checked *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (check(rows[i].text, rows[i].len) != rows[i].valid)
            fail_msg("'%s': %s", rows[i].text, rows[i].comment);
}

static void test_url(void **state)
{
    (void)state;
    check_all(is_url, urls, COUNT(urls));
}

static void test_email(void **state)
{
    (void)state;
    check_all(is_email, emails, COUNT(emails));
}

static const struct {
    const char *text;
    size_t len;
    bool valid;
    int64_t ms;
    const char *comment;
} dates[] = {
    {T("1970-01-01T00:00:00Z"), true, 0, "the beginning"},
    {T("2025-01-02T03:04:05.678901+00:00"), true, 1735787045678, "as agents send it"},
    {T("2025-01-02T03:04:05"), true, 1735787045000, "no zone is UTC"},
    {T("2025-1-2 3:04"), true, 1735787040000, "short, with a space"},
    {T("2025-01-02T03:04:05.6Z"), true, 1735787045600, "one digit"},
    {T("2025-01-02T03:04:05.123456789012"), true, 1735787045123, "twelve digits"},
    {T("2025-01-02T03:04:05.9999Z"), true, 1735787045999, "cut off, not rounded"},
    {T("2025-01-02T03:04:05+02"), true, 1735779845000, "hours"},
    {T("2025-01-02T03:04:05-0130"), true, 1735792445000, "hours and minutes"},
    {T("2025-01-02T03:04:05+01:30"), true, 1735781645000, "with a colon"},
    {T("2025-01-02T03:04+01:30"), true, 1735781640000, "a zone without seconds"},
    {T("2025-01-02T03:04:05-23:59"), true, 1735873385000, "the widest zone"},
    {T("2024-02-29T23:59:59Z"), true, 1709251199000, "leap day"},
    {T("2000-02-29T00:00Z"), true, 951782400000, "leap day of a century"},
    {T("1969-12-31T23:59:59.9Z"), true, -100, "before 1970"},
    {T("0001-01-01T00:00Z"), true, -62135596800000, "the first year"},
    {T("9999-12-31T23:59:59.999Z"), true, 253402300799999, "the last year"},
    {T(""), false, 0, "empty"},
    {T("2025-01-02"), false, 0, "date alone"},
    {T("2025-01-02T"), false, 0, "no time"},
    {T("2025-01-02T03"), false, 0, "only an hour"},
    {T("2025-01-02T03:4"), false, 0, "one digit of minutes"},
    {T("2025-01-02t03:04:05Z"), false, 0, "lower-case t"},
    {T("2025-01-02T03:04:05z"), false, 0, "lower-case z"},
    {T("2025-01-02T03:04:05,5"), false, 0, "comma"},
    {T("2025-01-02T24:00:00"), false, 0, "hour 24"},
    {T("2025-01-02T03:60:00"), false, 0, "minute 60"},
    {T("2025-01-02T03:04:60"), false, 0, "second 60"},
    {T("2025-00-02T03:04:05"), false, 0, "month 0"},
    {T("2025-13-02T03:04:05"), false, 0, "month 13"},
    {T("2025-01-00T03:04:05"), false, 0, "day 0"},
    {T("2025-04-31T03:04:05"), false, 0, "day 31 of April"},
    {T("2023-02-29T03:04:05"), false, 0, "no leap year"},
    {T("1900-02-29T03:04:05"), false, 0, "no leap year"},
    {T("0000-01-01T00:00"), false, 0, "year 0"},
    {T("25-01-02T03:04:05"), false, 0, "short year"},
    {T("2025-01-02T03:04:05."), false, 0, "no digits after the dot"},
    {T("2025-01-02T03:04:05.1234567890123"), false, 0, "13 digits"},
    {T("2025-01-02T03:04:05 Z"), false, 0, "space before the zone"},
    {T("2025-01-02T03:04:05+1"), false, 0, "short zone"},
    {T("2025-01-02T03:04:05+01:"), false, 0, "colon without minutes"},
    {T("2025-01-02T03:04:05+24:00"), false, 0, "a day as a zone"},
    {T("2025-01-02T03:04:05Zx"), false, 0, "text after it"},
    {T("2025-01-02T03:04:05Z\0"), false, 0, "a NUL after it"},
    {T(" 2025-01-02T03:04:05Z"), false, 0, "space before"},
    {T("1735787045"), false, 0, "a number"},
};

static void test_datetime(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dates); i++) {
        int64_t ms = 77;
        bool valid = datetime_from_text(dates[i].text, dates[i].len, &ms);
        if (valid != dates[i].valid || ms != (valid ? dates[i].ms : 77))
            fail_msg("'%s' (%lld): %s", dates[i].text, (long long)ms, dates[i].comment);
    }
}

static const struct {
    const char *text;
    size_t len;
    enum duration_fault fault;
    int64_t seconds;
    const char *comment;
} durations[] = {
    {T("60"), DURATION_OK, 60, "seconds"},
    {T(" +1_000 "), DURATION_OK, 1000, "an integer as everywhere"},
    {T("0"), DURATION_OK, 0, "none"},
    {T("-0"), DURATION_OK, 0, "none"},
    {T("1s"), DURATION_OK, 1, "s"},
    {T("1sec 1secs"), DURATION_OK, 2, "sec"},
    {T("1m"), DURATION_OK, 60, "m"},
    {T("1min 1mins"), DURATION_OK, 120, "min"},
    {T("1h"), DURATION_OK, 3600, "h"},
    {T("1hour 2hours"), DURATION_OK, 10800, "hour"},
    {T("1d"), DURATION_OK, 86400, "d"},
    {T("1day 1days"), DURATION_OK, 172800, "day"},
    {T("30m1h"), DURATION_OK, 5400, "any order"},
    {T("2d 5h30m"), DURATION_OK, 192600, "white space between"},
    {T("\t1 H\n30\xc2\xa0MINS "), DURATION_OK, 5400, "white space and case anywhere"},
    {T("1h1h"), DURATION_OK, 7200, "a unit twice"},
    {T("\xd9\xa5m"), DURATION_OK, 300, "digits of any script"},
    {T("0s"), DURATION_OK, 0, "none of a unit"},
    {T("9223372036854775807"), DURATION_OK, INT64_MAX, "the longest"},
    {T(""), DURATION_EMPTY, 0, "empty"},
    {T(" \xe2\x80\x83\n"), DURATION_EMPTY, 0, "only space"},
    {T("-5"), DURATION_NEGATIVE, 0, "negative"},
    {T("4x"), DURATION_INVALID, 0, "no such unit"},
    {T("1w"), DURATION_INVALID, 0, "no weeks"},
    {T("1ms"), DURATION_INVALID, 0, "no milliseconds"},
    {T("1minute"), DURATION_INVALID, 0, "no long form of minutes"},
    {T("h"), DURATION_INVALID, 0, "no number"},
    {T("1h 5"), DURATION_INVALID, 0, "a number without a unit"},
    {T("1h,5m"), DURATION_INVALID, 0, "comma"},
    {T("1.5h"), DURATION_INVALID, 0, "fraction"},
    {T("-5m"), DURATION_INVALID, 0, "negative pair"},
    {T("1_0m"), DURATION_INVALID, 0, "underscore in a pair"},
    {T("1h\0"), DURATION_INVALID, 0, "a NUL"},
    {T("forever"), DURATION_INVALID, 0, "a word"},
    {T("9223372036854775808"), DURATION_TOO_LONG, 0, "beyond 64 bits"},
    {T("9223372036854775807m"), DURATION_TOO_LONG, 0, "beyond 64 bits in seconds"},
    {T("9223372036854775807s 1s"), DURATION_TOO_LONG, 0, "beyond 64 bits in sum"},
    {T("99999999999999999999s"), DURATION_TOO_LONG, 0, "number beyond 64 bits"},
};

static void test_duration(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(durations); i++) {
        int64_t seconds = 77;
        enum duration_fault fault =
            duration_from_text(durations[i].text, durations[i].len, &seconds);
        if (fault != durations[i].fault || seconds != (fault ? 77 : durations[i].seconds))
            fail_msg("'%s' (%d): %s", durations[i].text, (int)fault, durations[i].comment);
    }
}

static void test_trim(void **state)
{
    const char *s = "\xe2\x80\x83 a\xc2\xa0 b\t\x1f ";
    size_t len = strlen(s);

    (void)state;
    field_trim(&s, &len);
    assert_int_equal(len, 5);
    assert_memory_equal(s, "a\xc2\xa0 b", len);
    s = " \n";
    len = 2;
    field_trim(&s, &len);
    assert_int_equal(len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer),  cmocka_unit_test(test_real),
        cmocka_unit_test(test_boolean),  cmocka_unit_test(test_url),
        cmocka_unit_test(test_email),    cmocka_unit_test(test_datetime),
        cmocka_unit_test(test_duration), cmocka_unit_test(test_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
