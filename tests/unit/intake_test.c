/* The intake passes on one request at a time and buffers what follows. */
#include "frontend/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GET "GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"

static struct body_limits limits;
static struct intake in;
static struct evbuffer *come, *out;

static int set_up(void **state)
{
    (void)state;
    limits = (struct body_limits){.budget.max = 1 << 20, .upload_max = 1000};
    intake_init(&in, &limits);
    come = evbuffer_new();
    out = evbuffer_new();
    return come && out ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    intake_done(&in);
    evbuffer_free(come);
    evbuffer_free(out);
    return limits.budget.used ? -1 : 0;
}

static bool feed(const char *data)
{
    evbuffer_add(come, data, strlen(data));
    intake_take(&in, come, evbuffer_get_length(come));
    return intake_advance(&in, out);
}

/* Takes the head that the library would read now. */
static void assert_head(const char *text)
{
    size_t len = evbuffer_get_length(out);

    assert_int_equal(len, strlen(text));
    assert_memory_equal(evbuffer_pullup(out, -1), text, len);
    evbuffer_drain(out, len);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    assert_true(feed(GET GET "GET /v1/"));
    assert_head("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_false(intake_advance(&in, out));
    assert_int_equal(evbuffer_get_length(out), 0);
    assert_false(intake_is_idle(&in));
    intake_answered(&in);
    assert_true(intake_advance(&in, out));
    assert_head("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    intake_answered(&in);
    assert_false(intake_advance(&in, out));
    assert_int_equal(intake_waiting(&in), strlen("GET /v1/"));
}

/* An item belongs only to the head with its number. */
static void test_claims(void **state)
{
    static const char *const others[] = {"/2", "/0", "/11", "/", "1", "", "/v1/", "/1 "};

    (void)state;
    assert_null(intake_claim(&in, "/1"));
    assert_false(feed("POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab"));
    assert_null(intake_claim(&in, "/1")); /* not passed on yet */
    assert_true(feed("c"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_null(intake_claim(&in, others[i]));
    struct intake_item *item = intake_claim(&in, "/1");
    assert_non_null(item);
    assert_int_equal(item->body.len, 3);
    assert_string_equal(item->target, "/v1/job");
    assert_null(intake_claim(&in, "/1"));
    intake_item_free(item);
}

/* Bytes behind the last request of a connection are dropped. */
static void test_last(void **state)
{
    (void)state;
    assert_true(feed("GET /v1/ HTTP/1.1\r\nHost: x\n\n" GET));
    assert_head("GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_int_equal(intake_waiting(&in), 0);
    assert_false(feed(GET));
    assert_int_equal(intake_waiting(&in), 0);
    struct intake_item *item = intake_claim(&in, "/1");
    assert_non_null(item);
    assert_int_equal(item->verdict, 400);
    intake_item_free(item);
    intake_answered(&in);
    assert_false(feed(GET));
}

/* A number of 64 bits is written as it is. */
static void test_large_number(void **state)
{
    (void)state;
    in.numbers = UINT64_MAX - 1;
    assert_true(feed(GET));
    assert_head("GET /18446744073709551615 HTTP/1.1\r\nHost: x\r\n\r\n");
    intake_item_free(intake_claim(&in, "/18446744073709551615"));
    assert_null(in.item);
}

/* Bytes that arrive one by one are copied into shared chains of the buffer. */
static void test_small_pieces(void **state)
{
    struct evbuffer_iovec chains[64];

    (void)state;
    assert_true(feed(GET));
    for (int i = 0; i < 16000; i++)
        assert_false(feed("x"));
    assert_true(evbuffer_peek(in.raw, -1, NULL, chains, 64) < 16);
    assert_int_equal(intake_waiting(&in), 16000);
}

static void test_small_pieces_of_a_body(void **state)
{
    (void)state;
    assert_false(feed("POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Length: 16001\r\n\r\n"));
    for (int i = 0; i < 16000; i++)
        assert_false(feed("x"));
    assert_int_equal(in.body.len, 16000);
    assert_in_range(limits.budget.used, 16000, 32000);
}

/* ---- bodies that a worker must allow ---- */

#define LARGE "POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"
#define HEAD1 "POST /1 HTTP/1.1\r\nHost: x\r\n\r\n"

static void feed_many(size_t n)
{
    char block[1000];

    memset(block, 'x', sizeof block);
    for (; n; n -= n < sizeof block ? n : sizeof block) {
        evbuffer_add(come, block, n < sizeof block ? n : sizeof block);
        intake_take(&in, come, evbuffer_get_length(come));
        intake_advance(&in, out);
    }
}

static bool claim(bool coming, bool ask)
{
    struct intake_item *item = intake_claim(&in, "/1");
    bool as_said = item && item->coming == coming && item->ask == ask && !item->verdict;

    intake_item_free(item);
    return as_said;
}

/* Which bodies are read at once, which a worker must allow, and of which request. */
static void test_who_is_asked(void **state)
{
#define JOB    "POST /v1/job HTTP/1.1\r\nHost: x\r\n"
#define UPLOAD "POST /v1/result/x/artifact HTTP/1.1\r\nHost: x\r\n"
    static const struct {
        const char *data;
        bool passed, coming, ask;
    } rows[] = {
        {JOB "Content-Length: 3\r\n\r\n", false, false, false},
        {JOB "Content-Length: 3\r\n\r\nabc", true, false, false},
        {JOB "Content-Length: 65536\r\n\r\n", false, false, false},
        {JOB "Content-Length: 65537\r\n\r\n", true, true, true},
        {JOB "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", true, true, false},
        {JOB "Transfer-Encoding: chunked\r\n\r\n10000\r\n", false, false, false},
        {JOB "Transfer-Encoding: chunked\r\n\r\n10001\r\n", true, true, true},
        {JOB "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n10000\r\n", true, true, true},
        {JOB "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", true, true, true},
        {UPLOAD "Content-Length: 1\r\n\r\na", true, true, true},
        {UPLOAD "Content-Length: 0\r\n\r\n", true, false, false},
        {UPLOAD "Transfer-Encoding: chunked\r\n\r\n", true, true, true},
        {UPLOAD "Transfer-Encoding: chunked\r\n\r\n1\r\n", true, true, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool passed = feed(rows[i].data);
        if (passed != rows[i].passed || (passed && !claim(rows[i].coming, rows[i].ask)))
            fail_msg("row %zu", i);
        assert_int_equal(in.body.fd, -1);
        tear_down(state);
        set_up(state);
    }
}

static void test_a_body_that_is_let(void **state)
{
    struct body body;

    (void)state;
    assert_true(feed(LARGE));
    assert_head(HEAD1);
    feed_many(60000);
    assert_true(claim(true, true));
    assert_int_equal(in.body.len, 0); /* it waits */
    intake_let(&in);
    assert_false(intake_advance(&in, out));
    assert_int_equal(in.body.len, 60000);
    intake_set_tenant(&in, budget_join(&limits.budget, &(struct address_key){{1}}));
    assert_false(in.complete);
    feed_many(5537);
    assert_true(in.complete && intake_is_busy(&in));
    assert_int_equal(intake_body(&in, &body), 507); /* there is no spool */
    body_free(&body);
    intake_answered(&in);
    assert_true(feed(GET));
}

/* Dropped bytes never become part of the next request, whenever the answer is sent. */
static void test_a_body_that_is_refused(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        assert_true(feed(LARGE));
        assert_true(claim(true, true));
        assert_true(intake_refuse(&in, false));
        if (!late)
            intake_answered(&in);
        feed_many(65537);
        assert_int_equal(in.body.len, 0);
        if (late) {
            assert_false(feed(GET));
            intake_answered(&in);
            assert_true(intake_advance(&in, out));
        } else {
            assert_true(feed(GET));
        }
        assert_false(in.complete || in.over);
        tear_down(state);
        set_up(state);
    }
}

static void test_a_body_that_is_not_waited_for(void **state)
{
    static const char *const heads[] = {
        "POST /v1/result/x/artifact HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        "Expect: 100-continue\r\n\r\n",
        "POST /v1/result/x/artifact HTTP/1.0\r\nContent-Length: 1\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        assert_true(feed(heads[i]));
        assert_true(claim(true, true));
        assert_false(intake_refuse(&in, false));
        assert_true(in.unread);
        assert_false(feed(GET));
        assert_int_equal(intake_waiting(&in), 0);
        tear_down(state);
        set_up(state);
    }
}

/* Malformed chunks after an answer end the connection. */
static void test_a_refused_body_that_is_broken(void **state)
{
    (void)state;
    assert_true(feed("POST /v1/result/x/artifact HTTP/1.1\r\nHost: x\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n1\r\n"));
    assert_true(claim(true, true));
    assert_true(intake_refuse(&in, false));
    feed("abc");
    assert_true(in.over && in.unread && !in.complete);
}

/* Waiting heads count, too; a request without memory gets 503. */
static void test_waiting_bytes_count(void **state)
{
    (void)state;
    limits.budget.max = 64 << 10;
    assert_false(feed("GET /v1/ HTTP/1.1\r\nHost: x\r\nX: "));
    feed_many(8000);
    assert_int_equal(limits.budget.used, 8192);
    feed("\r\nY: ");
    feed_many(8000);
    feed("\r\nZ: ");
    feed_many(8000);
    feed("\r\nW: ");
    feed_many(8000);
    feed("\r\nV: ");
    feed_many(8000);
    assert_int_equal(in.item->verdict, 503);
    assert_int_equal(limits.budget.used, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_at_a_time),
        TEST(test_claims),
        TEST(test_last),
        TEST(test_large_number),
        TEST(test_small_pieces),
        TEST(test_small_pieces_of_a_body),
        TEST(test_who_is_asked),
        TEST(test_a_body_that_is_let),
        TEST(test_a_body_that_is_refused),
        TEST(test_a_body_that_is_not_waited_for),
        TEST(test_a_refused_body_that_is_broken),
        TEST(test_waiting_bytes_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
