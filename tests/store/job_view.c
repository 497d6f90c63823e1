/* What surrounds a job: earlier attempts, children. */
#include "tests/store/suite.h"

#include <stdio.h>

static void test_attempts(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], claimed[ID_SIZE];
    json_t *list = NULL;

    assert_int_equal(store_job_attempts(t->a, text_of("no such job"), &list), ERR_NOT_FOUND);
    new_id(queue);
    add_job(t->a, queue, NULL, id);
    assert_int_equal(store_job_attempts(t->b, text_of(id), &list), ERR_OK);
    assert_json(list, "[]");
    json_decref(list);
    assert_int_equal(claim_job(t->a, queue, "agent", claimed), ERR_OK);
    assert_int_equal(put_result(t->a, id, "{'provision_status': 0, 'test_status': 3}", "complete"),
                     ERR_OK);
    assert_int_equal(resubmit(t->b, queue, NULL, id), ERR_OK);
    assert_int_equal(store_job_attempts(t->a, text_of(id), &list), ERR_OK);
    assert_int_equal(json_array_size(list), 1);
    json_t *one = json_array_get(list, 0);
    assert_true(json_integer_value(json_object_get(one, "created_at")) > 0);
    assert_true(json_integer_value(json_object_get(one, "started_at")) > 0);
    assert_json(json_object_get(one, "job_state"), "'complete'");
    assert_json(json_object_get(one, "agent"), "'agent'");
    assert_json(json_object_get(one, "status"), "{'provision': 0, 'test': 3}");
    json_decref(list);
}

static void test_children(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], parent[ID_SIZE], ids[2][ID_SIZE], more[64], expected[2 * ID_SIZE + 16];
    json_t *list = NULL;

    new_id(queue);
    add_job(t->a, queue, NULL, parent);
    snprintf(more, sizeof more, "'parent_job_id': '%s'", parent);
    for (int i = 0; i < 2; i++)
        add_job(t->a, queue, more, ids[i]);
    assert_int_equal(store_job_children(t->b, text_of(parent), 9, &list), ERR_OK);
    snprintf(expected, sizeof expected, "['%s', '%s']", ids[0], ids[1]);
    assert_json(list, expected);
    json_decref(list);
    assert_int_equal(store_job_children(t->b, text_of(parent), 1, &list), ERR_OK);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    assert_int_equal(store_job_children(t->b, text_of(ids[0]), 9, &list), ERR_OK);
    assert_json(list, "[]");
    json_decref(list);
}

const struct CMUnitTest job_view_suite[] = {
    cmocka_unit_test(test_attempts),
    cmocka_unit_test(test_children),
};
SUITE_LEN(job_view);
