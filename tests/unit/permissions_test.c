#include "worker/clients/permissions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define Q      "lab"
#define CLIENT "\"client_id\": \"c\""

static const struct {
    const char *permissions; /* JSON, NULL: none */
    bool restricted;
    int64_t priority, reservation;
    const char *refusal; /* "401 TEXT", NULL: allowed */
} rows[] = {
    /* nothing asked for */
    {NULL, false, 0, 0, NULL},
    {NULL, false, 0, 21600, NULL},
    {"{" CLIENT "}", false, 0, 0, NULL},
    /* priority */
    {NULL, false, 5, 0, "401 Authentication required for setting priority: 5"},
    {NULL, false, -3, 0, "401 Authentication required for setting priority: -3"},
    {"{}", false, 5, 0, "401 Authentication required for setting priority: 5"},
    {"{" CLIENT "}", false, 1, 0, "403 Not enough permissions to push to lab with priority 1"},
    {"{" CLIENT "}", false, -1, 0, NULL},
    {"{\"max_priority\": {\"lab\": 5}}", false, 5, 0, NULL},
    {"{\"max_priority\": {\"lab\": 5}}", false, 6, 0,
     "403 Not enough permissions to push to lab with priority 6"},
    {"{\"max_priority\": {\"*\": 5}}", false, 5, 0, NULL},
    {"{\"max_priority\": {\"*\": 5}}", false, 6, 0,
     "403 Not enough permissions to push to lab with priority 6"},
    {"{\"max_priority\": {\"*\": 9, \"lab\": 5}}", false, 9, 0, NULL},
    {"{\"max_priority\": {\"*\": 1, \"lab\": 5}}", false, 5, 0, NULL},
    {"{\"max_priority\": {\"other\": 5}}", false, 1, 0,
     "403 Not enough permissions to push to lab with priority 1"},
    {"{\"max_priority\": {\"*\": -5}}", false, -9, 0, NULL},
    {"{\"max_priority\": {\"lab\": 5.9}}", false, 5, 0, NULL},
    {"{\"max_priority\": {\"lab\": \"5\"}}", false, 1, 0,
     "403 Not enough permissions to push to lab with priority 1"},
    {"{\"max_priority\": 7}", false, 1, 0,
     "403 Not enough permissions to push to lab with priority 1"},
    {"{\"max_priority\": {\"lab\": 9223372036854775806}}", false, INT64_MAX, 0,
     "403 Not enough permissions to push to lab with priority 9223372036854775807"},
    /* restricted queues: a wildcard does not apply */
    {NULL, true, 0, 0, "401 Authentication required to push to restricted queue: lab"},
    {"{" CLIENT "}", true, 0, 0, "403 Not enough permissions to push to the restricted queue: lab"},
    {"{\"allowed_queues\": [\"a\", \"lab\"]}", true, 0, 0, NULL},
    {"{\"allowed_queues\": [\"la\", \"labs\", \"*\", 5]}", true, 0, 0,
     "403 Not enough permissions to push to the restricted queue: lab"},
    {"{\"allowed_queues\": \"lab\"}", true, 0, 0,
     "403 Not enough permissions to push to the restricted queue: lab"},
    /* reservations */
    {NULL, false, 0, 21601, "401 Authentication required for setting timeout: 21601"},
    {"{" CLIENT "}", false, 0, 21601,
     "403 Not enough permissions to push to lab with reservation timeout 21601"},
    {"{\"max_reservation_time\": {\"*\": 30000}}", false, 0, 30000, NULL},
    {"{\"max_reservation_time\": {\"*\": 1, \"lab\": 30000}}", false, 0, 30000, NULL},
    {"{\"max_reservation_time\": {\"*\": 30000, \"lab\": 1}}", false, 0, 30001,
     "403 Not enough permissions to push to lab with reservation timeout 30001"},
    /* several faults: the first in this order is reported */
    {NULL, true, 2, 30000, "401 Authentication required for setting priority: 2"},
    {"{\"max_priority\": {\"*\": 2}}", true, 2, 30000,
     "403 Not enough permissions to push to the restricted queue: lab"},
    {"{\"max_priority\": {\"*\": 2}, \"allowed_queues\": [\"lab\"]}", true, 2, 30000,
     "403 Not enough permissions to push to lab with reservation timeout 30000"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *p = rows[i].permissions ? json_loads(rows[i].permissions, 0, NULL) : NULL;
        struct job_wish w = {
            {Q, strlen(Q)}, rows[i].restricted, rows[i].priority, rows[i].reservation};
        struct job_refusal refusal = {0};
        char text[1100] = "";
        bool allowed = permissions_allow(p, &w, &refusal);
        if (!allowed)
            snprintf(text, sizeof text, "%d %s", refusal.status, refusal.text);
        if (allowed != !rows[i].refusal || (!allowed && strcmp(text, rows[i].refusal) != 0))
            fail_msg("row %zu (%s): %s", i, rows[i].permissions ? rows[i].permissions : "none",
                     text);
        if (!rows[i].permissions && rows[i].refusal)
            assert_true(permissions_needed(&w));
        json_decref(p);
    }
}

static void test_odd_queue_names(void **state)
{
    struct job_refusal refusal;
    char name[5000];
    json_t *p = json_pack("{s:{s:i}, s:[s#]}", "max_priority", "a.$b", 3, "allowed_queues", "a\0b",
                          (size_t)3);
    struct job_wish dots = {{"a.$b", 4}, false, 3, 0}, nul = {{"a\0b", 3}, true, 0, 0};
    struct job_wish cut = {{"a", 1}, true, 0, 0}, longest = {{name, sizeof name}, true, 0, 0};

    (void)state;
    memset(name, 'x', sizeof name);
    assert_true(permissions_allow(p, &dots, &refusal));
    assert_true(permissions_allow(p, &nul, &refusal));
    assert_false(permissions_allow(p, &cut, &refusal));
    assert_false(permissions_allow(p, &longest, &refusal));
    assert_int_equal(refusal.status, 403);
    json_decref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_odd_queue_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
