/* Groups of calls that become durable together. */
#include "tests/store/suite.h"

#include <stdlib.h>
#include <unistd.h>

static void begin(struct store *s)
{
    assert_int_equal(store_group_begin(s), ERR_OK);
}

static void commit(struct store *s)
{
    assert_int_equal(store_group_commit(s), ERR_OK);
}

static void test_empty(void **state)
{
    struct stores *t = *state;

    for (int i = 0; i < 3; i++) {
        begin(t->a);
        commit(t->a);
    }
}

/* A group sees what it wrote; after its commit others see it. */
static void test_whole_way_of_a_job(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    new_id(queue);
    begin(t->a);
    add_job(t->a, queue, NULL, id);
    assert_next(t->a, queue, id);
    assert_int_equal(put_result(t->a, id, "{'x': 1}", "test"), ERR_OK);
    assert_result(t->a, id, "{'job_state': 'test', 'x': 1}");
    commit(t->a);
    assert_result(t->b, id, "{'job_state': 'test', 'x': 1}");
}

/* A driver may make a new connection after a second: that loses nothing by itself. */
static void test_a_pause(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    new_id(queue);
    begin(t->a);
    add_job(t->a, queue, NULL, id);
    usleep(1100000);
    assert_next(t->a, queue, id);
    usleep(1100000);
    commit(t->a);
    assert_result(t->b, id, "{'job_state': 'running'}");
}

static void fail_in_all_ways(struct store *s, const char *over)
{
    char unknown[ID_SIZE], found[ID_SIZE], *big = long_text('x', STORE_DOCUMENT_MAX);
    json_t *none = json_array();

    new_id(unknown);
    struct job_new job = {
        .asked = asked_now(unknown),
        .job_id = unknown,
        .data = json_pack("{s:s,s:s}", "job_queue", unknown, "x", big),
    };
    struct output_append a = {
        .asked = asked_now(unknown), .job_id = text_of(unknown), .text = {big, STORE_DOCUMENT_MAX}};
    struct result_put p = {.asked = asked_now(unknown), .fields = job.data, .job_state = "odd"};
    for (int given = 0; given < 2; given++) {
        job.given = given;
        assert_int_equal(store_jobs_add(s, &job, 1), ERR_TOO_LARGE);
    }
    assert_int_equal(append_one(s, &a), ERR_TOO_LARGE);
    assert_int_equal(put_one_result(s, text_of(over), &p), ERR_TOO_LARGE);
    assert_int_equal(put_result(s, unknown, "{}", "complete"), ERR_NOT_FOUND);
    assert_int_equal(cancel_job(s, unknown), ERR_NOT_FOUND);
    assert_int_equal(cancel_job(s, over), ERR_CONFLICT);
    assert_int_equal(claim_job(s, unknown, NULL, found), ERR_NOT_FOUND);
    assert_int_equal(
        take_live(store_output_take, s, unknown, OUTPUT_OUTPUT, STORE_DOCUMENT_MAX, false, none),
        ERR_NOT_FOUND);
    json_decref(none);
    json_decref(job.data);
    free(big);
}

static void test_failures_leave_the_others(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], over[ID_SIZE], first[ID_SIZE], last[ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, NULL, over);
    assert_int_equal(put_result(t->a, over, "{}", "complete"), ERR_OK);
    begin(t->a);
    fail_in_all_ways(t->a, over);
    add_job(t->a, queue, NULL, first);
    fail_in_all_ways(t->a, over);
    add_job(t->a, queue, NULL, last);
    fail_in_all_ways(t->a, over);
    commit(t->a);
    assert_result(t->b, over, "{'job_state': 'complete'}");
    assert_next(t->b, queue, first);
    assert_next(t->b, queue, last);
    assert_next(t->b, queue, NULL);
}

/* What another process stores meanwhile is neither lost nor in the way. */
static void test_writes_of_others_before_and_after(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], first[ID_SIZE], second[ID_SIZE], third[ID_SIZE];

    new_id(queue);
    begin(t->a);
    assert_next(t->a, queue, NULL); /* only reads so far: others may write */
    add_job(t->b, queue, NULL, first);
    assert_next(t->a, queue, first);
    add_job(t->a, queue, NULL, second);
    commit(t->a);
    add_job(t->b, queue, NULL, third);
    assert_state(t->b, first, "running");
    assert_next(t->b, queue, second);
    assert_next(t->a, queue, third);
}

const struct CMUnitTest groups_suite[] = {
    cmocka_unit_test(test_empty),
    cmocka_unit_test(test_whole_way_of_a_job),
    cmocka_unit_test(test_a_pause),
    cmocka_unit_test(test_failures_leave_the_others),
    cmocka_unit_test(test_writes_of_others_before_and_after),
};
SUITE_LEN(groups);
