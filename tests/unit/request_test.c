/* Splits a request's target into route, parameters and query. */
#include "frontend/request.h"

#include "common/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/http_struct.h>

static struct evhttp_request *library;

static struct parsed parse_as(enum evhttp_cmd_type type, const char *target, bool known)
{
    static struct parsed p;

    library->type = type;
    request_parse(library, (struct text){target, strlen(target)}, known, &p);
    return p;
}

static struct parsed parse(const char *target)
{
    return parse_as(EVHTTP_REQ_GET, target, true);
}

static void assert_text(struct text t, const char *want)
{
    assert_int_equal(t.len, strlen(want));
    assert_memory_equal(t.s, want, t.len);
}

static void test_kinds(void **state)
{
    static const struct {
        enum evhttp_cmd_type type;
        const char *target;
        bool known;
        enum request_kind kind;
        int op; /* -1: no route */
    } rows[] = {
        {EVHTTP_REQ_GET, "/v1/job?queue=q", true, REQUEST_ROUTED, OP_JOB_CLAIM},
        {EVHTTP_REQ_HEAD, "/v1/job?queue=q", true, REQUEST_ROUTED, OP_JOB_CLAIM},
        {EVHTTP_REQ_POST, "/v1/job", true, REQUEST_ROUTED, OP_JOB_ADD},
        {EVHTTP_REQ_POST, "http://host/v1/job", true, REQUEST_ROUTED, OP_JOB_ADD},
        {EVHTTP_REQ_GET, "/v1/job/a%2Fb", true, REQUEST_ROUTED, OP_JOB_GET},
        {EVHTTP_REQ_PUT, "/v1/job", true, REQUEST_BAD_METHOD, -1},
        {EVHTTP_REQ_PATCH, "/v1/job", true, REQUEST_BAD_METHOD, -1},
        {EVHTTP_REQ_GET, "/v1/job", false, REQUEST_BAD_METHOD, -1},
        {EVHTTP_REQ_OPTIONS, "/v1/job", true, REQUEST_OPTIONS, -1},
        {EVHTTP_REQ_GET, "//v1/job", true, REQUEST_REDIRECT, -1},
        {EVHTTP_REQ_GET, "/v1/nothing", true, REQUEST_UNKNOWN, -1},
        {EVHTTP_REQ_GET, "/v1/job//x", true, REQUEST_REDIRECT, -1},
        {EVHTTP_REQ_PUT, "/v1/secrets/c/a/b", true, REQUEST_ROUTED, OP_SECRET_PUT},
        {EVHTTP_REQ_PUT, "/v1/secrets/c/a//b/", true, REQUEST_ROUTED, OP_SECRET_PUT},
        {EVHTTP_REQ_GET, "/v1/secrets/c/a/b", true, REQUEST_BAD_METHOD, -1},
        {EVHTTP_REQ_PUT, "/v1/secrets/c//a", true, REQUEST_REDIRECT, -1},
        {EVHTTP_REQ_PUT, "/v1//secrets/c/a", true, REQUEST_REDIRECT, -1},
        {EVHTTP_REQ_PUT, "/v1/secrets/c/", true, REQUEST_UNKNOWN, -1},
        {EVHTTP_REQ_PUT, "/v1/secrets/c", true, REQUEST_UNKNOWN, -1},
        {EVHTTP_REQ_GET, "v1/job", true, REQUEST_UNKNOWN, -1},
        {EVHTTP_REQ_GET, "*", true, REQUEST_UNKNOWN, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed p = parse_as(rows[i].type, rows[i].target, rows[i].known);
        int op = p.route ? (int)route_op(p.route) : -1;
        if (p.kind != rows[i].kind || op != rows[i].op)
            fail_msg("row %zu: kind %d, op %d", i, (int)p.kind, op);
        request_parsed_free(&p);
    }
}

static void test_parts(void **state)
{
    (void)state;
    struct parsed p = parse("/v1/job/a%2Fb%zz%4?x=1&&=2&y&z=%F0%9F%98%80+%2b%FF&%00=#f&g=1");

    assert_int_equal(p.request.params_len, 1);
    assert_text(p.request.params[0], "a/b%zz%4");
    assert_int_equal(p.request.query_len, 5);
    assert_text(p.request.query[0].name, "x");
    assert_text(p.request.query[0].value, "1");
    assert_text(p.request.query[1].name, "");
    assert_text(p.request.query[1].value, "2");
    assert_text(p.request.query[2].name, "y");
    assert_text(p.request.query[2].value, "");
    assert_text(p.request.query[3].value, "\xf0\x9f\x98\x80 +\xef\xbf\xbd");
    assert_int_equal(p.request.query[4].name.len, 1);
    assert_int_equal(*p.request.query[4].name.s, 0);
    request_parsed_free(&p);

    p = parse_as(EVHTTP_REQ_DELETE, "/v1/secrets/a%40b/x%2Fy//z/?q=1", true);
    assert_int_equal(p.request.params_len, 2);
    assert_text(p.request.params[0], "a@b");
    assert_text(p.request.params[1], "x/y//z/");
    request_parsed_free(&p);

    p = parse("http://host//a///b?c=//d");
    assert_string_equal(p.location, "/a/b?c=//d");
    request_parsed_free(&p);

    p = parse_as(EVHTTP_REQ_PUT, "/v1/job", true);
    assert_string_equal(p.allow, "OPTIONS, HEAD, GET, POST");
    request_parsed_free(&p);
}

static void test_too_many_parameters(void **state)
{
    char target[16 + 4 * (QUERY_MAX + 2)];
    size_t n = (size_t)snprintf(target, sizeof target, "/v1/job?");

    (void)state;
    for (size_t i = 0; i < QUERY_MAX; i++)
        n += (size_t)snprintf(target + n, sizeof target - n, "a=&");
    struct parsed p = parse(target);
    assert_int_equal(p.kind, REQUEST_ROUTED);
    assert_int_equal(p.request.query_len, QUERY_MAX);
    request_parsed_free(&p);
    snprintf(target + n, sizeof target - n, "a=&");
    p = parse(target);
    assert_int_equal(p.kind, REQUEST_TOO_MANY);
    request_parsed_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_too_many_parameters),
    };

    library = evhttp_request_new(NULL, NULL);
    if (!library)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    evhttp_request_free(library);
    return failed;
}
