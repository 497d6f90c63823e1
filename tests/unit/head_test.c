/* The head of a request: what is accepted, refused, and passed to the HTTP library. */
#include "frontend/head.h"

#include "frontend/host.h"
#include "frontend/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: x\r\n"

static struct head parse(const char *text)
{
    struct head h;

    head_parse(text, strlen(text), &h);
    return h;
}

static void assert_text(struct text s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.s, text, s.len);
}

static void test_statuses(void **state)
{
    static const struct {
        const char *head;
        int refuse;
        bool close;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", 0, false},
        {"GET / HTTP/1.0\r\n\r\n", 0, true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, false},
        {"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", 0, true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: a , CLOSE,b\r\n\r\n", 0, true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed,\r\n\r\n", 0, false},
        {"BREW / HTTP/1.1\r\n" HOST "\r\n", 405, false},
        {"CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 405, false},
        {"get / HTTP/1.1\r\n" HOST "\r\n", 405, false},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 505, true},
        {"GET / HTTP/1.1\r\n\r\n", 400, true},
        {"BREW / HTTP/1.1\r\n\r\n", 400, true},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 01\r\n\r\n", 0, false},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, true},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1234567890123456789\r\n\r\n", 400, true},
        {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 0, false},
        {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400,
         true},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head h = parse(rows[i].head);
        if (h.refuse != rows[i].refuse || h.close != rows[i].close)
            fail_msg("row %zu: %d, close %d", i, h.refuse, h.close);
    }
}

static void test_request_lines(void **state)
{
    static const struct {
        const char *line;
        int refuse;
    } rows[] = {
        {"GET / HTTP/1.1", 0},
        {"GET http://a/b?c HTTP/1.1", 0},
        {"OPTIONS * HTTP/1.1", 0},
        {"GET /\xff HTTP/1.1", 0},
        {"GET / HTTP/1.9", 0},
        {"GET / HTTP/0.9", 505},
        {"GET / HTTP/2.0", 505},
        {"GET / HTTP/11.1", 400},
        {"GET / HTTP/1.10", 400},
        {"GET / HTTP/1", 400},
        {"GET / http/1.1", 400},
        {"GET / HTTP/1.1 ", 400},
        {"GET /", 400},
        {"GET", 400},
        {"", 400},
        {"GET  HTTP/1.1", 400},
        {" GET / HTTP/1.1", 400},
        {"GET  / HTTP/1.1", 400},
        {"GET /a b HTTP/1.1", 400},
        {"GET\t/\tHTTP/1.1", 400},
        {"GET /\ta HTTP/1.1", 400},
        {"GE(T / HTTP/1.1", 400},
        {"G\xc9T / HTTP/1.1", 400},
        {"GET: / HTTP/1.1", 400},
        {"A!#$%&'*+-.^_`|~1 / HTTP/1.1", 405},
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(text, sizeof text, "%s\r\n" HOST "\r\n", rows[i].line);
        struct head h = parse(text);
        if (h.refuse != rows[i].refuse)
            fail_msg("%s: %d", rows[i].line, h.refuse);
    }
}

/* A request line of HEAD_LINE_MAX bytes is taken, a longer one is not; likewise a header line. */
static void test_long_lines(void **state)
{
    static char text[HEAD_FIELD_MAX + 256];

    (void)state;
    for (int more = 0; more < 2; more++) {
        int pad = HEAD_LINE_MAX - (int)strlen("GET / HTTP/1.1") + more;
        snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", pad, 0);
        assert_int_equal(parse(text).refuse, more ? 400 : 0);
        pad = HEAD_FIELD_MAX - (int)strlen("A: ") + more;
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "A: %0*d\r\n\r\n", pad, 0);
        assert_int_equal(parse(text).refuse, more ? 431 : 0);
    }
}

static void test_paths(void **state)
{
    static const char *const rows[][2] = {
        {"/a/b", "/a/b"},         {"/a?b#c", "/a"},
        {"/a#c?b", "/a"},         {"/?http://x/y", "/"},
        {"/a://b/c", "/a://b/c"}, {"http://h/a?b", "/a"},
        {"http://h", "/"},        {"http://h?a/b", "/"},
        {"http://h//a", "//a"},   {"*", "*"},
        {"a?b://c/d", "a"},       {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text path = head_path((struct text){rows[i][0], strlen(rows[i][0])});
        if (path.len != strlen(rows[i][1]) || memcmp(path.s, rows[i][1], path.len) != 0)
            fail_msg("%s: %.*s", rows[i][0], (int)path.len, path.s);
    }
}

static void test_fields_are_those_for_the_library(void **state)
{
    (void)state;
    struct head h = parse("POST /a?b HTTP/1.1\r\nHost:x\r\nX-A:\t a b \t\r\nContent-Length: 7\r\n"
                          "Expect: 100-Continue\r\nTE: x\r\nTrailer: x\r\nUpgrade: x\r\n"
                          "Keep-Alive: x\r\nProxy-Connection: close\r\nX-B:\r\n\r\n");

    assert_int_equal(h.refuse, 0);
    assert_text(h.method, "POST");
    assert_text(h.target, "/a?b");
    assert_true(h.expects_continue && h.has_length && !h.close);
    assert_int_equal(h.content_length, 7);
    assert_int_equal(h.fields_len, 3);
    assert_text(h.fields[1].name, "X-A");
    assert_text(h.fields[1].value, "a b");
    assert_text(h.fields[2].value, "");
}

static char *written(const struct head *h, bool close)
{
    struct head_canonical canonical = {head_method(h), "/12",     h->http_1_0,
                                       close,          h->fields, h->fields_len};
    struct evbuffer *out = evbuffer_new();

    assert_non_null(out);
    head_write(&canonical, out);
    size_t len = evbuffer_get_length(out);
    char *text = calloc(1, len + 1);
    assert_non_null(text);
    evbuffer_remove(out, text, len);
    evbuffer_free(out);
    return text;
}

static void test_written_anew(void **state)
{
    static const struct {
        const char *head;
        bool close;
        const char *written;
    } rows[] = {
        {"DELETE //x HTTP/1.1\r\nhost:x\r\nA:  b\r\n\r\n", false,
         "DELETE /12 HTTP/1.1\r\nhost: x\r\nA: b\r\n\r\n"},
        {"BREW x HTTP/1.1\r\nHost: x\r\n\r\n", true,
         "GET /12 HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n"},
        {"GET / HTTP/1.0\r\n\r\n", false, "GET /12 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
        {"GET / HTTP/1.0\r\n\r\n", true, "GET /12 HTTP/1.0\r\n\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head h = parse(rows[i].head);
        char *text = written(&h, rows[i].close);
        assert_string_equal(text, rows[i].written);
        free(text);
    }
}

/* The outcome does not depend on where the bytes are cut. */
static void test_lines(void **state)
{
    static const struct {
        const char *data;
        enum line_result result;
        size_t at;
    } rows[] = {
        {"ab\r\n", LINE_DONE, 4}, {"\r\n", LINE_DONE, 2},  {"a\tb\xff\r\nc", LINE_DONE, 6},
        {"ab", LINE_MORE, 2},     {"ab\r", LINE_MORE, 2},  {"ab\n", LINE_BAD, 2},
        {"a\rb", LINE_BAD, 1},    {"\r\r\n", LINE_BAD, 0}, {"a\x01", LINE_BAD, 1},
        {"\x7f", LINE_BAD, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t first = 0; first <= strlen(rows[i].data); first++) {
            size_t at = 0;
            enum line_result r = line_scan(rows[i].data, first, &at);
            if (r == LINE_MORE)
                r = line_scan(rows[i].data, strlen(rows[i].data), &at);
            if (r != rows[i].result || at != rows[i].at)
                fail_msg("row %zu, cut at %zu: %d at %zu", i, first, (int)r, at);
        }
}

static void test_hosts(void **state)
{
    static const char *const good[] = {"",      "a",          "a.b-c_d~e",  "1.2.3.4:80",
                                       "a:",    "[::1]",      "[::1]:8000", "[v1.a:b]:1",
                                       "a%20b", "!$&'()*+,;="};
    static const char *const bad[] = {" ",   "a b",  "a/b",   "a@b",  "a?",         "a#",
                                      "a:b", "a:1:", "[::1",  "[]",   "[::1]x",     "[a/b]",
                                      "a%2", "a%gg", "\"a\"", "a\\b", "caf\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!host_ok(good[i], strlen(good[i])))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (host_ok(bad[i], strlen(bad[i])))
            fail_msg("%s is taken", bad[i]);
    assert_false(host_ok("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_fields_are_those_for_the_library),
        cmocka_unit_test(test_written_anew),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
