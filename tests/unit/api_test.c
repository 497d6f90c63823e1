#include "common/api.h"
#include "common/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* -1: the row has no such method. */
static const struct {
    const char *path;
    int get, post;
    const char *param;
    const char *comment;
} rows[] = {
    {"/v1/", OP_VERSION, -1, NULL, "as in the table"},
    {"/v1", OP_VERSION, -1, NULL, "no trailing slash"},
    {"/v1/job", OP_JOB_CLAIM, OP_JOB_ADD, NULL, "two methods of one path"},
    {"/v1/job/", OP_JOB_CLAIM, OP_JOB_ADD, NULL, "one trailing slash"},
    {"/v1/job/abc", OP_JOB_GET, -1, "abc", "a parameter"},
    {"/v1/job/abc/", OP_JOB_GET, -1, "abc", "parameter, trailing slash"},
    {"/v1/job/abc/position", OP_JOB_POSITION, -1, "abc", "literal after a parameter"},
    {"/v1/job/abc/action", -1, OP_JOB_ACTION, "abc", "post only"},
    {"/v1/result/a%2Fb", OP_RESULT_GET, OP_RESULT_PUT, "a%2Fb", "parameters stay encoded"},
    {"/v1/result/x/serial_output/", OP_SERIAL_GET, OP_SERIAL_ADD, "x", "last row of a family"},
    {"/v1/jobz", -1, -1, NULL, "longer literal"},
    {"/v1/jo", -1, -1, NULL, "shorter literal"},
    {"/V1/job", -1, -1, NULL, "case matters"},
    {"/v1/job//", -1, -1, NULL, "an empty parameter"},
    {"/v1//job", -1, -1, NULL, "an empty segment"},
    {"/v1/job/a/b/c", -1, -1, NULL, "too many segments"},
    {"/", OP_PAGE_OVERVIEW, -1, NULL, "root"},
    {"/queues/", OP_PAGE_QUEUES, -1, NULL, "a page, trailing slash"},
    {"", -1, -1, NULL, "nothing"},
    {"v1/job", -1, -1, NULL, "no slash in front"},
};

static int op_of(const struct route *r)
{
    return r ? (int)route_op(r) : -1;
}

static void test_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct route_match m = {0};
        bool found = route_match(rows[i].path, strlen(rows[i].path), &m);
        if (found != (rows[i].get >= 0 || rows[i].post >= 0) ||
            op_of(m.by_method[HTTP_GET]) != rows[i].get ||
            op_of(m.by_method[HTTP_POST]) != rows[i].post)
            fail_msg("%s: %s", rows[i].path, rows[i].comment);
        if (!rows[i].param)
            continue;
        assert_int_equal(m.params_len, 1);
        assert_int_equal(m.params[0].len, strlen(rows[i].param));
        assert_memory_equal(m.params[0].start, rows[i].param, m.params[0].len);
    }
}

static void test_rows_are_distinct(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OP_COUNT_; i++) {
        const struct route *a = route_of(i);
        assert_int_equal(route_op(a), i);
        assert_ptr_equal(route_named(route_name(a), strlen(route_name(a))), a);
        for (unsigned j = 0; j < i; j++) {
            const struct route *b = route_of(j);
            if (*route_path(a) && route_method(a) == route_method(b) &&
                !strcmp(route_path(a), route_path(b)))
                fail_msg("%s and %s have the same path", route_name(a), route_name(b));
        }
    }
    assert_null(route_of(OP_COUNT_));
}

/* "/v1/job/search" also matches "/v1/job/<job_id>". */
static void test_no_row_hides_another(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OP_COUNT_; i++) {
        const struct route *r = route_of(i), *other;
        struct route_match m = {0};
        if (!*route_path(r))
            continue;
        assert_true(route_match(route_path(r), strlen(route_path(r)), &m));
        if ((other = m.by_method[route_method(r)]) != r)
            fail_msg("%s hides %s: move its row in api.def above that one", route_name(other),
                     route_name(r));
    }
}

static void test_each_row_says_who_may_call_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OP_COUNT_; i++)
        if (!route_roles(route_of(i)))
            fail_msg("%s has no roles: nobody may call it", route_name(route_of(i)));
}

/* Operations by their number on the bus. Append only: numbers never change. Replace the name of a
 * removed row by "", so that its number is never reused. */
static const char *const on_the_bus[] = {
    [2] = "OP_READYZ",
    [3] = "OP_JOB_ADD",
    [4] = "OP_JOB_CLAIM",
    [5] = "OP_JOB_GET",
    [6] = "OP_JOB_POSITION",
    [7] = "OP_JOB_ACTION",
    [8] = "OP_RESULT_PUT",
    [9] = "OP_RESULT_GET",
    [10] = "OP_OUTPUT_ADD",
    [11] = "OP_OUTPUT_GET",
    [12] = "OP_SERIAL_ADD",
    [13] = "OP_SERIAL_GET",
    [14] = "OP_AGENT_PUT",
    [15] = "OP_TOKEN",
    [16] = "OP_TOKEN_GET",
    [17] = "OP_TOKEN_REFRESH",
    [18] = "OP_TOKEN_REVOKE",
    [19] = "OP_RESTRICTED_LIST",
    [20] = "OP_RESTRICTED_GET",
    [21] = "OP_RESTRICTED_ADD",
    [22] = "OP_RESTRICTED_DELETE",
    [23] = "OP_CLIENTS_LIST",
    [24] = "OP_CLIENT_GET",
    [25] = "OP_CLIENT_PUT",
    [26] = "OP_CLIENT_DELETE",
    [27] = "OP_AUDIT_LIST",
    [28] = "OP_ATTACHMENTS_PUT",
    [29] = "OP_ATTACHMENTS_GET",
    [30] = "OP_ARTIFACT_PUT",
    [31] = "OP_ARTIFACT_GET",
    [32] = "OP_FILE_PUT",
    [33] = "OP_FILE_COMMIT",
    [34] = "OP_FILE_READ",
    [35] = "OP_CLAIMS_SETTLE",
    [36] = "OP_JOB_SEARCH",
    [37] = "OP_QUEUES_PUT",
    [38] = "OP_QUEUES_GET",
    [39] = "OP_IMAGES_PUT",
    [40] = "OP_IMAGES_GET",
    [41] = "OP_AGENTS_GET",
    [42] = "OP_AGENT_GET",
    [43] = "OP_PROVISION_ADD",
    [44] = "OP_WAIT_TIMES",
    [45] = "OP_QUEUE_AGENTS",
    [46] = "OP_QUEUE_JOBS",
    [47] = "OP_LOG_OUTPUT_ADD",
    [48] = "OP_LOG_OUTPUT_GET",
    [49] = "OP_LOG_SERIAL_ADD",
    [50] = "OP_LOG_SERIAL_GET",
    [51] = "OP_JOB_EVENTS",
    [52] = "OP_WEBHOOKS_DEAD",
    [53] = "OP_WEBHOOKS_RESEND",
    [54] = "OP_ASK",
    [55] = "OP_RESULT_STATUS",
    [56] = "OP_EVENTS_GET",
    [57] = "OP_QUEUE_PAUSE",
    [58] = "OP_QUEUE_RESUME",
    [59] = "OP_JOBS_CANCEL",
    [60] = "OP_JOBS_LIST",
    [61] = "OP_AGENTS_LIST",
    [62] = "OP_PAGE_OVERVIEW",
    [63] = "OP_PAGE_QUEUES",
    [64] = "OP_PAGE_QUEUE",
    [65] = "OP_PAGE_JOBS",
    [66] = "OP_PAGE_AGENTS",
    [67] = "OP_PAGE_AGENT",
    [68] = "OP_PAGE_JOB",
    [69] = "OP_WEB_LOG_OUTPUT",
    [70] = "OP_WEB_LOG_SERIAL",
    [71] = "OP_LOG_PART",
    [120] = "OP_SECRET_PUT",
    [121] = "OP_SECRET_DELETE",
    [72] = "OP_WEB_FOLLOW",
    [73] = "OP_JOB_FOLLOW",
    [74] = "OP_FOLLOW_LOOK",
    [76] = "OP_PAGE_CANCEL",
    [77] = "OP_WEB_CANCEL",
    [78] = "OP_PAGE_LOGIN",
    [79] = "OP_WEB_LOGIN",
    [80] = "OP_WEB_LOGOUT",
    [81] = "OP_PAGE_AGENT_MODE",
    [82] = "OP_WEB_AGENT_MODE",
    [83] = "OP_PAGE_CLIENTS",
    [84] = "OP_WEB_CLIENT",
    [85] = "OP_PAGE_CLIENT",
    [86] = "OP_PAGE_CLIENT_DELETE",
    [87] = "OP_WEB_CLIENT_DELETE",
    [88] = "OP_PAGE_RESTRICTED",
    [89] = "OP_WEB_RESTRICT",
    [90] = "OP_PAGE_JOB_NEW",
    [91] = "OP_WEB_JOB_NEW",
    [92] = "OP_WEB_ATTACHMENTS",
    [93] = "OP_PAGE_QUEUE_PAUSE",
    [94] = "OP_WEB_QUEUE_PAUSE",
    [95] = "OP_WEB_QUEUE_RESUME",
    [100] = "OP_PAGE_DOCS",
    [110] = "OP_WEB_UNRESTRICT",
    [111] = "OP_PAGE_TOKENS",
    [112] = "OP_PAGE_TOKEN_REVOKE",
    [113] = "OP_WEB_TOKEN_REVOKE",
    [114] = "OP_PAGE_LETTERS",
    [115] = "OP_WEB_LETTERS",
    [116] = "OP_PAGE_AUDIT",
    [117] = "OP_PAGE_STATUS",
    [118] = "OP_PAGE_LETTERS_RESEND",
    [119] = "OP_WEB_ARTIFACT",
};

static void test_numbers_on_the_bus_stay(void **state)
{
    size_t known = sizeof on_the_bus / sizeof *on_the_bus, rows_seen = 0;

    (void)state;
    for (unsigned i = 0; i < OP_COUNT_; i++) {
        const struct route *r = route_of(i);
        unsigned wire = route_wire(r);
        if (route_service(r) == SERVICE_LOCAL) {
            assert_int_equal(wire, 0);
            continue;
        }
        if (wire >= known || !on_the_bus[wire] || strcmp(on_the_bus[wire], route_name(r)) != 0)
            fail_msg("%s: the number %u is not the one of on_the_bus", route_name(r), wire);
        assert_ptr_equal(route_of_wire(wire), r);
        rows_seen++;
    }
    for (size_t i = 0; i < known; i++)
        rows_seen -= on_the_bus[i] && *on_the_bus[i];
    assert_int_equal(rows_seen, 0);
    assert_null(route_of_wire(0));
    assert_null(route_of_wire(255));
    assert_null(route_of_wire(60000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_rows_are_distinct),
        cmocka_unit_test(test_no_row_hides_another),
        cmocka_unit_test(test_each_row_says_who_may_call_it),
        cmocka_unit_test(test_numbers_on_the_bus_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
