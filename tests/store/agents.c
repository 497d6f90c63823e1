/* Agents and who serves a queue. */
#include "tests/store/suite.h"

#include <stdio.h>

static void put(struct store *s, const char *name, const char *fields, const char *log)
{
    char request[ID_SIZE];

    new_id(request);
    struct agent_put a = {.asked = asked_now(request),
                          .name = text_of(name),
                          .fields = json_of(fields),
                          .log = log ? json_of(log) : NULL};
    assert_int_equal(store_agent_put(s, &a), ERR_OK);
    json_decref(a.fields);
    json_decref(a.log);
}

/* Posts the queues of an agent: "'a', 'b'". */
static void put_queues(struct store *s, const char *name, const char *queues)
{
    char fields[256];

    snprintf(fields, sizeof fields, "{'state': 'waiting', 'queues': [%s]}", queues);
    put(s, name, fields, "['line']");
}

static bool serves(struct store *s, const char *queue, const char *exclude)
{
    json_t *list = json_of(exclude);
    bool is = false;

    assert_int_equal(store_queue_serves(s, text_of(queue), list, &is), ERR_OK);
    json_decref(list);
    return is;
}

static void test_queue_serves(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], other[ID_SIZE], a[ID_SIZE], b[ID_SIZE], list[128], exclude[128];

    new_id(queue);
    new_id(other);
    new_id(a);
    new_id(b);
    assert_false(serves(t->a, queue, "[]"));
    snprintf(list, sizeof list, "'%s', '%s', '%s'", other, queue, queue);
    put_queues(t->a, a, list);
    assert_true(serves(t->b, queue, "[]"));
    assert_true(serves(t->b, other, "[]"));
    snprintf(exclude, sizeof exclude, "['x', '%s']", a);
    assert_false(serves(t->b, queue, exclude));
    snprintf(list, sizeof list, "'%s'", queue);
    put_queues(t->a, b, list);
    assert_true(serves(t->b, queue, exclude));
    assert_false(serves(t->b, other, exclude));
    put(t->a, a, "{'state': 'offline'}", NULL); /* its queues stay */
    assert_true(serves(t->b, other, "[]"));
    put_queues(t->a, a, "'x'");
    assert_false(serves(t->b, other, "[]"));
    put_queues(t->a, b, "");
    assert_false(serves(t->b, queue, "[]"));
}

/* Everything that agents post is accepted; the endpoints' own tests check the outcome. */
static void test_put(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE];

    new_id(name);
    put(t->a, name, "{}", NULL);
    put(t->b, name, "{'state': 'x\\u0000', 'comment': '', 'provision_streak_count': 3}", "[]");
    put(t->a, name, "{'job_id': ''}", "['a', 'a\\u0000b', '']");
}

/* What an earlier request set does not come back. */
static void test_repeats(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE], requests[2][ID_SIZE];
    json_t *agent = NULL;

    new_id(name);
    for (int i = 0; i < 3; i++) { /* the third is the first, late */
        struct agent_put a = {.name = text_of(name),
                              .fields = json_of(i == 1 ? "{'state': 'new'}" : "{'state': 'old'}"),
                              .log = json_of("['line']")};
        if (i < 2)
            new_id(requests[i]);
        a.asked = asked_now(requests[i % 2]);
        assert_int_equal(store_agent_put(i ? t->b : t->a, &a), ERR_OK);
        json_decref(a.fields);
        json_decref(a.log);
    }
    assert_int_equal(store_agent_get(t->a, text_of(name), &agent), ERR_OK);
    assert_string_equal(json_string_value(json_object_get(agent, "state")), "new");
    assert_null(json_object_get(agent, "requests"));
    json_decref(agent);
}

static void test_no_queue_is_restricted(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE];

    new_id(queue);
    struct queue_check checks[] = {
        {.queue = text_of(queue), .restricted = true},
        {.queue = text_of(""), .restricted = true},
        {.queue = text_of(queue), .restricted = true},
    };
    assert_int_equal(store_queues_restricted(t->a, checks, 3), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        assert_false(checks[i].restricted);
    assert_int_equal(store_queues_restricted(t->a, NULL, 0), ERR_OK);
}

static void test_ping(void **state)
{
    struct stores *t = *state;

    assert_int_equal(store_ping(t->a), ERR_OK);
    assert_int_equal(store_ping(t->b), ERR_OK);
}

const struct CMUnitTest agents_suite[] = {
    cmocka_unit_test(test_queue_serves), cmocka_unit_test(test_put),
    cmocka_unit_test(test_repeats),      cmocka_unit_test(test_no_queue_is_restricted),
    cmocka_unit_test(test_ping),
};
SUITE_LEN(agents);
