/* The framing of chunked bodies: the result does not depend on where the bytes are cut. */
#include "frontend/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Reads until the end of the body, an error, or the end of `raw`; drops the data of chunks. */
static enum chunked_result take(struct chunked *c, struct evbuffer *raw, uint64_t *body)
{
    enum chunked_result r = CHUNKED_LINE;

    while (r != CHUNKED_DONE && r != CHUNKED_BAD && r != CHUNKED_MORE) {
        size_t have = evbuffer_get_length(raw);
        size_t n = c->left < have ? (size_t)c->left : have;
        evbuffer_drain(raw, n);
        c->left -= n;
        *body += n;
        r = c->left ? CHUNKED_MORE : chunked_next(c, raw);
    }
    return r;
}

/* Sends the first `cut` bytes, then the others. */
static enum chunked_result read_cut(const char *text, size_t cut, uint64_t *body, size_t *behind)
{
    struct evbuffer *raw = evbuffer_new();
    struct chunked c = {0};

    *body = 0;
    evbuffer_add(raw, text, cut);
    enum chunked_result r = take(&c, raw, body);
    evbuffer_add(raw, text + cut, strlen(text + cut));
    if (r == CHUNKED_MORE)
        r = take(&c, raw, body);
    *behind = evbuffer_get_length(raw);
    evbuffer_free(raw);
    return r;
}

static void test_bodies(void **state)
{
    static const struct {
        const char *text;
        enum chunked_result result;
        uint64_t body;
        size_t behind; /* bytes that are not the body's */
    } rows[] = {
        {"0\r\n\r\n", CHUNKED_DONE, 0, 0},
        {"000\r\n\r\nGET", CHUNKED_DONE, 0, 3},
        {"5\r\nhello\r\n0\r\n\r\n", CHUNKED_DONE, 5, 0},
        {"a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\nx", CHUNKED_DONE, 20, 1},
        {"2;a=b;c\r\n\r\n\r\n0 ;x\r\n\r\n", CHUNKED_DONE, 2, 0},
        {"1 \t\r\na\r\n0\r\n\r\n", CHUNKED_DONE, 1, 0},
        {"0\r\nA: b\r\nC:\r\n\r\nx", CHUNKED_DONE, 0, 1},
        {"0\r\n", CHUNKED_MORE, 0, 0},
        {"5\r\nhel", CHUNKED_MORE, 3, 0},
        {"5\r\nhello", CHUNKED_MORE, 5, 0},
        {"fffffffffffffff\r\n", CHUNKED_MORE, 0, 0},
        {"\r\n", CHUNKED_BAD, 0, 0},
        {"x\r\n", CHUNKED_BAD, 0, 0},
        {" 5\r\nhello\r\n", CHUNKED_BAD, 0, 0},
        {"0x5\r\nhello\r\n", CHUNKED_BAD, 0, 0},
        {"-1\r\n", CHUNKED_BAD, 0, 0},
        {"+1\r\na\r\n", CHUNKED_BAD, 0, 0},
        {"1 a\r\na\r\n", CHUNKED_BAD, 0, 0},
        {"1000000000000000\r\n", CHUNKED_BAD, 0, 0},
        {"5\nhello\r\n", CHUNKED_BAD, 0, 0},
        {"5\r\nhello!\r\n0\r\n\r\n", CHUNKED_BAD, 5, 0},
        {"5\r\nhello\n0\r\n\r\n", CHUNKED_BAD, 5, 0},
        {"0\r\nno colon\r\n\r\n", CHUNKED_BAD, 0, 0},
        {"0\r\n folded: x\r\n\r\n", CHUNKED_BAD, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t cut = 0; cut <= strlen(rows[i].text); cut++) {
            uint64_t body;
            size_t behind;
            enum chunked_result r = read_cut(rows[i].text, cut, &body, &behind);
            if (r != rows[i].result || body != rows[i].body ||
                (r == CHUNKED_DONE && behind != rows[i].behind))
                fail_msg("row %zu, cut at %zu: %d, %llu bytes, %zu behind", i, cut, (int)r,
                         (unsigned long long)body, behind);
        }
}

/* Adds `line` until the framing refuses it, at most `most` times; returns how often it took it. */
static size_t repeat(const char *begin, const char *line, size_t most)
{
    struct evbuffer *raw = evbuffer_new();
    struct chunked c = {0};
    uint64_t body = 0;
    size_t n = 0;

    evbuffer_add(raw, begin, strlen(begin));
    assert_int_equal(take(&c, raw, &body), CHUNKED_MORE);
    for (; n < most; n++) {
        evbuffer_add(raw, line, strlen(line));
        if (take(&c, raw, &body) == CHUNKED_BAD)
            break;
    }
    evbuffer_free(raw);
    return n;
}

static void test_bounds(void **state)
{
    char line[CHUNK_LINE_MAX + 16], trailer[1024];

    (void)state;
    /* a line of exactly the limit, and one more */
    memset(line, 'x', sizeof line);
    memcpy(line, "0;", 2);
    memcpy(line + CHUNK_LINE_MAX, "\r\n", 3);
    assert_int_equal(repeat("", line, 1), 1);
    line[CHUNK_LINE_MAX] = 'x';
    memcpy(line + CHUNK_LINE_MAX + 1, "\r\n", 3);
    assert_int_equal(repeat("", line, 1), 0);
    /* chunks of one byte are let through, long extensions of such are not */
    assert_int_equal(repeat("", "1\r\na\r\n", 100000), 100000);
    size_t n = repeat("", "1;0123456789012345678901234567890123456789\r\na\r\n", 100000);
    assert_in_range(n, 1, CHUNK_EXCESS_MAX / 20);
    /* trailers */
    snprintf(trailer, sizeof trailer, "A: %01000d\r\n", 0);
    n = repeat("0\r\n", trailer, 100);
    assert_int_equal(n, CHUNK_TRAILER_MAX / strlen(trailer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
