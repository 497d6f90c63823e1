/* Agents and who serves a queue. */
#include "tests/store/suite.h"

#include <stdio.h>
#include <string.h>

static void put(struct store *s, const char *name, const char *fields, const char *log)
{
    char request[ID_SIZE];

    new_id(request);
    struct agent_put a = {.asked = asked_now(request),
                          .name = text_of(name),
                          .fields = json_of(fields),
                          .log = log ? json_of(log) : NULL};
    assert_int_equal(put_one_agent(s, &a), ERR_OK);
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
        assert_int_equal(put_one_agent(i ? t->b : t->a, &a), ERR_OK);
        json_decref(a.fields);
        json_decref(a.log);
    }
    assert_int_equal(get_agent(t->a, text_of(name), &agent), ERR_OK);
    assert_string_equal(json_string_value(json_object_get(agent, "state")), "new");
    assert_null(json_object_get(agent, "requests"));
    json_decref(agent);
}

/* ---- silence ---- */

/* Notes that the agent was heard of; true: that ended its silence. */
static bool hear(struct store *s, const char *name, int64_t before_ms, char *job_id)
{
    struct agent_heard agents[2] = {{.name = text_of("no such agent")}, {.name = text_of(name)}};

    assert_int_equal(store_agents_heard(s, agents, 2, before_ms), ERR_OK);
    assert_false(agents[0].was_silent);
    snprintf(job_id, JOB_ID_SIZE, "%s", agents[1].job_id);
    return agents[1].was_silent;
}

/* Whether a look marks the agent; passes on what else it finds. */
static bool falls_silent(struct store *s, const char *name, int64_t before_ms, char *job_id)
{
    struct agent_silent agents[SWEEP_MAX];
    bool found = false;
    size_t n;

    do {
        assert_int_equal(store_agents_silent(s, before_ms, agents, &n), ERR_OK);
        for (size_t i = 0; i < n; i++)
            if (strcmp(agents[i].name, name) == 0) {
                snprintf(job_id, JOB_ID_SIZE, "%s", agents[i].job_id);
                found = true;
            }
    } while (n == SWEEP_MAX);
    return found;
}

static bool is_silent(struct store *s, const char *name)
{
    json_t *agent = NULL;

    assert_int_equal(get_agent(s, text_of(name), &agent), ERR_OK);
    bool is = json_is_true(json_object_get(agent, "silent"));
    assert_true(json_is_boolean(json_object_get(agent, "silent")));
    assert_null(json_object_get(agent, "heard_at"));
    json_decref(agent);
    return is;
}

static void test_silence(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE], job_id[JOB_ID_SIZE];
    const int64_t long_ago = store_now_ms(t->a) - 60000, soon = store_now_ms(t->a) + 60000;
    int64_t n = 0, more = 0;

    new_id(name);
    put(t->a, name, "{'job_id': 'j1'}", NULL);
    assert_false(falls_silent(t->b, name, long_ago, job_id));
    assert_false(hear(t->a, name, long_ago, job_id));
    assert_false(falls_silent(t->b, name, long_ago, job_id));
    assert_true(falls_silent(t->b, name, soon, job_id));
    assert_string_equal(job_id, "j1");
    assert_false(falls_silent(t->a, name, soon, job_id)); /* once */
    assert_true(is_silent(t->a, name));
    put(t->a, name, "{'job_id': 'j2'}", NULL); /* a post alone does not end it */
    assert_true(is_silent(t->a, name));
    assert_int_equal(store_agents_silent_count(t->a, &n), ERR_OK);
    assert_true(hear(t->a, name, long_ago, job_id));
    assert_string_equal(job_id, "j2");
    assert_false(hear(t->b, name, long_ago, job_id));
    assert_false(is_silent(t->b, name));
    assert_int_equal(store_agents_silent_count(t->b, &more), ERR_OK);
    assert_int_equal(more, n - 1);
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
    cmocka_unit_test(test_silence),      cmocka_unit_test(test_ping),
};
SUITE_LEN(agents);
