/* Jobs: stored as they were sent, resubmission and attempts, positions, cancelling. */
#include "tests/store/suite.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_data(struct store *s, const char *job_id, const char *text)
{
    json_t *data = NULL;

    assert_int_equal(get_job(s, text_of(job_id), &data), ERR_OK);
    assert_json(data, text);
    json_decref(data);
}

static void assert_position(struct store *s, const char *job_id, int64_t expected)
{
    int64_t position = -1;

    assert_int_equal(store_job_position(s, text_of(job_id), &position), ERR_OK);
    assert_int_equal(position, expected);
}

/* ---- data ---- */

/* Members of a job's data that come back as they went in, in their order. */
static const char *const members[] = {
    "'z': 1, 'a': {'': 2, '$x': 3, 'a.b': 4}, 'm': [[], {}, [1, 'x', null]]",
    "'name': 'a\\u0000b \\u00e9\\ud83d\\ude00 \\\\ \\/ \\n \\u001f'",
    "'i': [0, -1, 2147483648, -9223372036854775808, 9223372036854775807]",
    "'r': [1.5, -0.25, 1e300, 3.0], 'b': [true, false, null]",
    "'$date': '2026-11-24T12:25:45Z', '$oid': {'$date': 5}",
    "'exclude_agents': ['x', 'x', ''], 'tags': []",
};

static void test_data_as_sent(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], expected[1024];

    new_id(queue);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        add_job(t->a, queue, members[i], id);
        snprintf(expected, sizeof expected, "{'job_queue': '%s', %s}", queue, members[i]);
        assert_data(t->b, id, expected);
        assert_result(t->b, id, "{'job_state': 'waiting'}");
    }
}

static void test_attachments_status_is_kept(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], expected[256];

    new_id(queue);
    add_job(t->a, queue, "'name': 'n', 'attachments_status': 'waiting'", id);
    snprintf(expected, sizeof expected,
             "{'job_queue': '%s', 'name': 'n', 'attachments_status': 'waiting'}", queue);
    assert_data(t->a, id, expected);
}

static void test_unknown_job(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];
    json_t *data = NULL;
    int64_t position = -5;

    new_id(id);
    assert_int_equal(get_job(t->a, text_of(id), &data), ERR_NOT_FOUND);
    assert_int_equal(get_result(t->a, text_of(id), &data), ERR_NOT_FOUND);
    assert_int_equal(store_job_position(t->a, text_of(id), &position), ERR_NOT_FOUND);
    assert_int_equal(cancel_job(t->a, id), ERR_NOT_FOUND);
    assert_int_equal(put_result(t->a, id, "{'x': 1}", "complete"), ERR_NOT_FOUND);
    assert_int_equal(put_result(t->a, id, "{}", NULL), ERR_NOT_FOUND);
    assert_int_equal(get_result(t->a, text_of(id), &data), ERR_NOT_FOUND);
    assert_null(data);
    assert_int_equal(position, -5);
}

static void test_ids_are_compared_as_text(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], upper[ID_SIZE];
    json_t *data = NULL;

    new_id(queue);
    add_job(t->a, queue, "'n': 1", id);
    for (int i = 0; i < ID_SIZE; i++)
        upper[i] = id[i] >= 'a' && id[i] <= 'f' ? (char)(id[i] - 32) : id[i];
    assert_int_equal(get_job(t->a, text_of(upper), &data), ERR_NOT_FOUND);
    assert_int_equal(resubmit(t->a, queue, "'n': 2", upper), ERR_OK);
    assert_next(t->a, queue, id);
    assert_next(t->a, queue, upper);
}

/* ---- several at once, repeats ---- */

static void test_many_in_one_call(void **state)
{
    enum { N = 40, LARGE = 7 };
    struct stores *t = *state;
    struct job_new jobs[N];
    char queue[ID_SIZE], ids[N][ID_SIZE];
    char *big = long_text('x', STORE_DOCUMENT_MAX);

    new_id(queue);
    for (size_t i = 0; i < N; i++) {
        new_id(ids[i]);
        jobs[i] = (struct job_new){.asked = asked_now(ids[i]),
                                   .job_id = ids[i],
                                   .given = i % 3 == 0,
                                   .data = json_pack("{s:s,s:i}", "job_queue", queue, "i", (int)i)};
    }
    json_object_set_new(jobs[LARGE].data, "big", json_string(big));
    assert_int_equal(store_jobs_add(t->a, jobs, N), ERR_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(jobs[i].err, i == LARGE ? ERR_TOO_LARGE : ERR_OK);
        json_decref(jobs[i].data);
    }
    for (size_t i = 0; i < N; i++)
        if (i != LARGE)
            assert_next(t->b, queue, ids[i]);
    assert_next(t->b, queue, NULL);
    free(big);
}

static void test_large_job(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], *big = long_text('x', 12 * MIB);
    json_t *data = NULL;

    new_id(queue);
    new_id(id);
    struct job_new job = {.asked = asked_now(id),
                          .job_id = id,
                          .data = json_pack("{s:s,s:s}", "job_queue", queue, "big", big)};
    assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
    assert_int_equal(get_job(t->b, text_of(id), &data), ERR_OK);
    assert_true(json_equal(data, job.data));
    assert_next(t->b, queue, id);
    json_decref(job.data);
    json_decref(data);
    free(big);
}

/* The request id is the job's id: a repeat finds it stored, whatever became of it meanwhile. */
static void test_repeated_job(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    new_id(queue);
    new_id(id);
    struct job_new job = {
        .asked = asked_now(id), .job_id = id, .data = json_pack("{s:s}", "job_queue", queue)};
    assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
    job.asked.repeat = true;
    assert_int_equal(store_jobs_add(t->b, &job, 1), ERR_OK);
    assert_next(t->a, queue, id);
    assert_next(t->a, queue, NULL);
    assert_int_equal(store_jobs_add(t->b, &job, 1), ERR_OK);
    assert_next(t->a, queue, NULL);
    assert_state(t->a, id, "running");
    json_decref(job.data);
}

/* ---- resubmission ---- */

static void test_same_data_keeps_its_place(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], first[ID_SIZE], second[ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, "'a': 1, 'b': 2", first);
    add_job(t->a, queue, NULL, second);
    assert_int_equal(resubmit(t->b, queue, "'b': 2, 'a': 1", first), ERR_OK);
    assert_position(t->a, first, 0);
    assert_next(t->a, queue, first);
    assert_next(t->a, queue, second);
    assert_next(t->a, queue, NULL);
}

static void test_other_data_moves_to_the_end(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], other[ID_SIZE], first[ID_SIZE], second[ID_SIZE], expected[256];

    new_id(queue);
    new_id(other);
    add_job(t->a, queue, "'a': 1", first);
    add_job(t->a, queue, NULL, second);
    assert_int_equal(resubmit(t->b, queue, "'a': 2", first), ERR_OK);
    assert_position(t->a, first, 1);
    snprintf(expected, sizeof expected, "{'job_queue': '%s', 'a': 2}", queue);
    assert_data(t->a, first, expected);
    assert_int_equal(resubmit(t->b, other, "'a': 2", first), ERR_OK);
    assert_next(t->a, queue, second);
    assert_next(t->a, queue, NULL);
    assert_next(t->a, other, first);
}

/* What was uploaded for a job that waits still counts when the same job comes again. */
static void test_resubmission_with_attachments(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, "'attachments_status': 'complete'", id);
    assert_int_equal(resubmit(t->a, queue, "'attachments_status': 'waiting'", id), ERR_OK);
    assert_next(t->a, queue, id);
    assert_int_equal(resubmit(t->a, queue, "'attachments_status': 'waiting'", id), ERR_OK);
    assert_next(t->a, queue, NULL);
    assert_int_equal(resubmit(t->a, queue, NULL, id), ERR_OK);
    assert_next(t->a, queue, id);
}

static void test_new_attempt(void **state)
{
    static const char *const ends[] = {"running", "test", "complete", "completed", "cancelled"};
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        new_id(queue);
        add_job(t->a, queue, NULL, id);
        assert_next(t->a, queue, id);
        assert_int_equal(put_result(t->a, id, "{'test_output': 'x'}", ends[i]), ERR_OK);
        assert_state(t->a, id, ends[i]);
        assert_int_equal(resubmit(t->b, queue, NULL, id), ERR_OK);
        assert_result(t->a, id, "{'job_state': 'waiting'}");
        assert_position(t->a, id, 0);
        assert_next(t->b, queue, id);
        assert_result(t->a, id, "{'job_state': 'running'}");
    }
}

/* Old outcomes never keep a job from running again, however many and large they are. */
static void test_many_large_attempts(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], *big = long_text('x', 6 * MIB);

    new_id(queue);
    add_job(t->a, queue, NULL, id);
    for (int i = 0; i < 4; i++) {
        struct result_put p = {.asked = asked_now("x"),
                               .fields = json_pack("{s:s}", "test_output", big),
                               .job_state = "complete"};
        assert_next(t->a, queue, id);
        assert_int_equal(put_one_result(t->a, text_of(id), &p), ERR_OK);
        assert_int_equal(resubmit(t->a, queue, NULL, id), ERR_OK);
        json_decref(p.fields);
    }
    for (int i = 0; i < 25; i++) {
        assert_next(t->a, queue, id);
        assert_int_equal(put_result(t->a, id, "{'status': {'test': 0}}", "complete"), ERR_OK);
        assert_int_equal(resubmit(t->a, queue, NULL, id), ERR_OK);
    }
    assert_result(t->a, id, "{'job_state': 'waiting'}");
    free(big);
}

static void test_repeated_resubmission(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], request[ID_SIZE], other[ID_SIZE];

    new_id(queue);
    new_id(request);
    add_job(t->a, queue, "'n': 1", id);
    struct job_new job = {.asked = asked_now(request),
                          .job_id = id,
                          .given = true,
                          .data = json_pack("{s:s,s:i}", "job_queue", queue, "n", 2)};
    assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
    assert_next(t->a, queue, id);
    for (int repeat = 0; repeat < 2; repeat++) {
        job.asked.repeat = repeat;
        assert_int_equal(store_jobs_add(t->b, &job, 1), ERR_OK);
        assert_state(t->a, id, "running");
        assert_next(t->a, queue, NULL);
    }
    new_id(other);
    job.asked.request_id = other;
    assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
    assert_int_equal(put_result(t->b, id, "{}", "complete"), ERR_OK);
    job.asked.request_id = request; /* late, after another attempt */
    job.asked.repeat = false;
    assert_int_equal(store_jobs_add(t->b, &job, 1), ERR_OK);
    assert_state(t->a, id, "complete");
    json_decref(job.data);
}

/* A repeat whose first try was lost is carried out. */
static void test_repeat_of_what_was_lost(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    new_id(queue);
    new_id(id);
    for (int given = 0; given < 2; given++) {
        new_id(id);
        struct job_new job = {.asked = asked_now(id),
                              .job_id = id,
                              .given = given,
                              .data = json_pack("{s:s}", "job_queue", queue)};
        job.asked.repeat = true;
        assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
        assert_next(t->a, queue, id);
        json_decref(job.data);
    }
}

/* ---- position, cancel ---- */

static void test_position(void **state)
{
    enum { N = 6 };
    static const int64_t priorities[N] = {0, 5, -3, 5, 0, 100};
    static const int64_t expected[N] = {3, 1, 5, 2, 4, 0};
    struct stores *t = *state;
    char queue[ID_SIZE], other[ID_SIZE], ids[N][ID_SIZE], held[ID_SIZE];
    int64_t position;

    new_id(queue);
    new_id(other);
    for (size_t i = 0; i < N; i++) {
        add_job_prio(t->a, queue, priorities[i], ids[i]);
        add_job_prio(t->a, other, 1000, held);
    }
    for (size_t i = 0; i < N; i++)
        assert_position(t->b, ids[i], expected[i]);
    assert_next(t->a, queue, ids[5]);
    for (size_t i = 0; i + 1 < N; i++)
        assert_position(t->b, ids[i], expected[i] - 1);
    assert_int_equal(store_job_position(t->b, text_of(ids[5]), &position), ERR_NOT_FOUND);
}

/* Whatever its attachments, a job that waits counts. */
static void test_position_counts_all_that_wait(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], held[ID_SIZE], last[ID_SIZE], second[ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, "'attachments_status': 'waiting'", held);
    add_job(t->a, queue, "'attachments_status': 'complete'", second);
    add_job(t->a, queue, NULL, last);
    assert_position(t->a, held, 0);
    assert_position(t->a, second, 1);
    assert_position(t->a, last, 2);
}

static void test_cancel(void **state)
{
    static const char *const states[] = {NULL, "running", "provision", "cleanup", "odd"};
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    new_id(queue);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        add_job(t->a, queue, NULL, id);
        if (states[i])
            assert_int_equal(put_result(t->a, id, "{'k': 1}", states[i]), ERR_OK);
        assert_int_equal(cancel_job(t->b, id), ERR_OK);
        assert_state(t->a, id, "cancelled");
        assert_int_equal(cancel_job(t->a, id), ERR_CONFLICT);
        assert_next(t->a, queue, NULL);
    }
    assert_result(t->a, id, "{'job_state': 'cancelled', 'k': 1}");
}

static enum err cancel_again(struct store *s, struct job_cancel *c, bool repeat)
{
    c->asked.repeat = repeat;
    c->waited = false;
    return store_jobs_cancel(s, c, 1);
}

/* As a repeat, or late as a first run: answered as the first, also when the job runs again. */
static void test_repeated_cancel(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], request[ID_SIZE];

    for (int waits = 0; waits < 2; waits++) {
        new_id(queue);
        new_id(request);
        add_job(t->a, queue, NULL, id);
        if (!waits)
            assert_int_equal(put_result(t->a, id, "{}", "test"), ERR_OK);
        struct job_cancel c = {.asked = asked_now(request), .job_id = text_of(id)};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(cancel_again(i % 2 ? t->a : t->b, &c, i == 1), ERR_OK);
            assert_int_equal(c.waited, waits);
            assert_state(t->a, id, "cancelled");
        }
        assert_int_equal(cancel_job(t->a, id), ERR_CONFLICT);
        assert_int_equal(resubmit(t->a, queue, NULL, id), ERR_OK);
        assert_int_equal(cancel_again(t->b, &c, false), ERR_OK);
        assert_int_equal(c.waited, waits);
        assert_state(t->a, id, "waiting");
        assert_int_equal(cancel_job(t->a, id), ERR_OK);
        assert_int_equal(cancel_again(t->b, &c, true), ERR_CONFLICT);
    }
}

static void test_what_is_over_cannot_be_cancelled(void **state)
{
    static const char *const states[] = {"complete", "completed"};
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];

    new_id(queue);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        add_job(t->a, queue, NULL, id);
        assert_int_equal(put_result(t->a, id, "{}", states[i]), ERR_OK);
        assert_int_equal(cancel_job(t->b, id), ERR_CONFLICT);
        assert_state(t->a, id, states[i]);
    }
}

/* Several jobs in one call have their own outcomes, also when it is repeated. */
static void test_cancel_many(void **state)
{
    enum { N = 6 };
    static const char *const states[N] = {NULL, "test", "complete", NULL, NULL, "cancelled"};
    static const enum err errs[N] = {ERR_OK,        ERR_OK, ERR_CONFLICT,
                                     ERR_NOT_FOUND, ERR_OK, ERR_CONFLICT};
    struct stores *t = *state;
    char queue[ID_SIZE], request[ID_SIZE], ids[N][ID_SIZE];
    struct job_cancel cancels[N];

    new_id(queue);
    new_id(request);
    for (size_t i = 0; i < N; i++) {
        if (errs[i] == ERR_NOT_FOUND)
            new_id(ids[i]);
        else
            add_job(t->a, queue, NULL, ids[i]);
        if (states[i])
            assert_int_equal(put_result(t->a, ids[i], "{}", states[i]), ERR_OK);
        cancels[i] = (struct job_cancel){.asked = asked_now(request), .job_id = text_of(ids[i])};
    }
    for (int round = 0; round < 2; round++) {
        assert_int_equal(store_jobs_cancel(round ? t->b : t->a, cancels, N), ERR_OK);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(cancels[i].err, errs[i]);
            if (errs[i] == ERR_OK) {
                assert_int_equal(cancels[i].waited, !states[i]);
                assert_state(t->b, ids[i], "cancelled");
            }
        }
        assert_state(t->b, ids[2], "complete");
    }
    assert_next(t->a, queue, NULL);
}

const struct CMUnitTest jobs_suite[] = {
    cmocka_unit_test(test_data_as_sent),
    cmocka_unit_test(test_attachments_status_is_kept),
    cmocka_unit_test(test_unknown_job),
    cmocka_unit_test(test_ids_are_compared_as_text),
    cmocka_unit_test(test_many_in_one_call),
    cmocka_unit_test(test_large_job),
    cmocka_unit_test(test_repeated_job),
    cmocka_unit_test(test_same_data_keeps_its_place),
    cmocka_unit_test(test_other_data_moves_to_the_end),
    cmocka_unit_test(test_resubmission_with_attachments),
    cmocka_unit_test(test_new_attempt),
    cmocka_unit_test(test_many_large_attempts),
    cmocka_unit_test(test_repeated_resubmission),
    cmocka_unit_test(test_repeat_of_what_was_lost),
    cmocka_unit_test(test_position),
    cmocka_unit_test(test_position_counts_all_that_wait),
    cmocka_unit_test(test_cancel),
    cmocka_unit_test(test_repeated_cancel),
    cmocka_unit_test(test_what_is_over_cannot_be_cancelled),
    cmocka_unit_test(test_cancel_many),
};
SUITE_LEN(jobs);
