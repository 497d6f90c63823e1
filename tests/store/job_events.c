/* Events that are kept with jobs. */
#include "tests/store/suite.h"

#include <stdio.h>
#include <stdlib.h>

static void add(struct store *s, const char *job_id, const char *events)
{
    json_t *list = json_of(events);
    const struct job_events_post posts[] = {{.job_id = text_of("no such job"), .events = list},
                                            {.job_id = text_of(job_id), .events = list}};

    assert_int_equal(store_job_events_add(s, posts, 2), ERR_OK);
    json_decref(list);
}

/* The names of the events, and the states of the changes, each followed by a space. */
static void assert_events(struct store *s, const char *job_id, const char *names,
                          const char *states)
{
    struct job_events found;
    char got[64] = "", changes[64] = "";
    const json_t *entry;
    size_t i, len = 0;

    assert_int_equal(store_job_events_get(s, text_of(job_id), &found), ERR_OK);
    json_array_foreach (found.posted, i, entry) {
        assert_true(json_integer_value(json_object_get(entry, "at")) > 0);
        const json_t *name = json_object_get(json_object_get(entry, "event"), "event_name");
        len += (size_t)snprintf(got + len, sizeof got - len, "%s ", json_string_value(name));
    }
    len = 0;
    json_array_foreach (found.changes, i, entry) {
        assert_true(json_integer_value(json_object_get(entry, "at")) > 0);
        len += (size_t)snprintf(changes + len, sizeof changes - len, "%s ",
                                json_string_value(json_object_get(entry, "state")));
    }
    assert_string_equal(got, names);
    assert_string_equal(changes, states);
    json_decref(found.posted);
    json_decref(found.changes);
}

#define EVENT(name) "{'event_name': '" name "', 'timestamp': 't\\u0000\\u00e9', 'detail': ''}"

static void test_each_once(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], claimed[ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, NULL, id);
    assert_events(t->a, id, "", "");
    add(t->a, id, "[" EVENT("b") "]");
    add(t->b, id, "[" EVENT("b") ", " EVENT("a") "]");
    add(t->a, id, "[" EVENT("a") "]");
    add(t->a, id, "[]");
    assert_int_equal(claim_job(t->a, queue, "agent", claimed), ERR_OK);
    assert_int_equal(cancel_job(t->a, id), ERR_OK);
    add(t->a, id, "[" EVENT("b") ", " EVENT("a") ", " EVENT("c") "]");
    assert_events(t->b, id, "b a c ", "running cancelled ");
}

static void test_unknown_job(void **state)
{
    struct stores *t = *state;
    struct job_events found;

    assert_int_equal(store_job_events_get(t->a, text_of("no such job"), &found), ERR_NOT_FOUND);
}

static void test_bytes(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], name[2] = "a";
    char *detail = long_text('x', JOB_EVENTS_BYTES / 2 + 1);
    json_t *event;

    new_id(queue);
    add_job(t->a, queue, NULL, id);
    for (; *name < 'e'; ++*name) {
        event =
            json_pack("[{s:s, s:s, s:s}]", "event_name", name, "timestamp", "", "detail", detail);
        const struct job_events_post post = {.job_id = text_of(id), .events = event};
        assert_int_equal(store_job_events_add(t->a, &post, 1), ERR_OK);
        json_decref(event);
    }
    free(detail);
    assert_events(t->b, id, "a b ", "");
}

const struct CMUnitTest job_events_suite[] = {
    cmocka_unit_test(test_each_once),
    cmocka_unit_test(test_unknown_job),
    cmocka_unit_test(test_bytes),
};
SUITE_LEN(job_events);
