/* Expiry. The store also holds data of other tests, which is younger than the limits that these
 * tests ask for. */
#include "tests/store/suite.h"

#include "common/clock.h"

/* All that is older than the moment of the call, in one walk after the other. */
static struct expiry walk(struct store *s, enum expiry_kind kind, int64_t before_ms)
{
    struct expiry x = {.kind = kind}, sum = {0};

    do {
        x.now_ms = clock_wall_us() / 1000;
        x.limits.before_ms = x.limits.ended_before_ms = before_ms;
        assert_int_equal(store_expire(s, &x), ERR_OK);
        sum.removed += x.removed;
        sum.cancelled += x.cancelled;
    } while (x.more);
    return sum;
}

/* A job that was submitted `age_ms` ago. */
static void add_old(struct store *s, const char *queue, int64_t age_ms, char out[ID_SIZE])
{
    new_id(out);
    struct job_new job = {.asked = asked_now(out), .job_id = out};
    job.asked.received_us -= age_ms * 1000;
    job.data = json_pack("{s:s}", "job_queue", queue);
    assert_int_equal(store_jobs_add(s, &job, 1), ERR_OK);
    json_decref(job.data);
}

#define YEAR_MS ((int64_t)365 * 86400 * 1000)

static void test_jobs(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], over[ID_SIZE], active[ID_SIZE], waiting[ID_SIZE], just[ID_SIZE];
    int64_t now = clock_wall_us() / 1000;

    new_id(queue);
    add_old(t->a, queue, 2 * YEAR_MS, over);
    add_old(t->a, queue, 2 * YEAR_MS, active);
    add_old(t->a, queue, 2 * YEAR_MS, waiting);
    add_old(t->a, queue, 0, just);
    assert_int_equal(put_result(t->a, over, "{}", "complete"), ERR_OK);
    assert_int_equal(put_result(t->a, just, "{}", "complete"), ERR_OK);
    assert_int_equal(put_result(t->a, active, "{}", "provision"), ERR_OK);
    struct expiry x = {.kind = EXPIRY_JOBS, .now_ms = now, .limits.before_ms = now - YEAR_MS};
    x.limits.ended_before_ms = now - 60000; /* it has just ended */
    assert_int_equal(store_expire(t->b, &x), ERR_OK);
    assert_state(t->a, over, "complete");
    x = (struct expiry){.kind = EXPIRY_JOBS, .now_ms = now, .limits.before_ms = now - YEAR_MS};
    x.limits.ended_before_ms = now + 60000;
    assert_int_equal(store_expire(t->b, &x), ERR_OK);
    assert_true(x.removed >= 1);
    assert_false(x.more);
    assert_int_equal(put_result(t->a, over, "{}", "complete"), ERR_NOT_FOUND);
    assert_state(t->a, active, "provision");
    assert_state(t->a, waiting, "waiting");
    assert_state(t->a, just, "complete");
    x = (struct expiry){.kind = EXPIRY_JOBS, .now_ms = now, .limits.before_ms = now - 3 * YEAR_MS};
    x.limits.waiting_before_ms = now - YEAR_MS;
    assert_int_equal(store_expire(t->b, &x), ERR_OK);
    assert_int_equal(x.removed, 0);
    assert_true(x.cancelled >= 1);
    bool told = false;
    for (size_t i = 0; i < x.cancelled; i++)
        told |= strcmp(x.cancelled_ids[i], waiting) == 0;
    assert_true(told);
    assert_result(t->a, waiting, "{'job_state': 'cancelled', 'end_reason': '" EXPIRY_REASON "'}");
}

/* More than a step holds, all of one moment; those that stay are passed once. */
static void test_walk(void **state)
{
    enum { N = 12 * EXPIRY_STEP };
    struct stores *t = *state;
    static char ids[N][ID_SIZE];
    char queue[ID_SIZE];
    int64_t now = clock_wall_us() / 1000, start_us = (now - 3 * YEAR_MS) * 1000;

    new_id(queue);
    assert_int_equal(store_group_begin(t->a), ERR_OK);
    for (size_t i = 0; i < N; i++) {
        new_id(ids[i]);
        struct job_new job = {.asked = {.request_id = ids[i], .received_us = start_us},
                              .job_id = ids[i]};
        job.data = json_pack("{s:s}", "job_queue", queue);
        assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
        json_decref(job.data);
        if (i % 3 == 0)
            assert_int_equal(put_result(t->a, ids[i], "{}", "completed"), ERR_OK);
    }
    assert_int_equal(store_group_commit(t->a), ERR_OK);
    struct expiry x = {.kind = EXPIRY_JOBS};
    size_t removed = 0, steps = 0;
    do {
        x.limits.before_ms = now - 2 * YEAR_MS;
        x.limits.ended_before_ms = now + 60000;
        assert_int_equal(store_expire(t->a, &x), ERR_OK);
        removed += x.removed;
        assert_true(++steps < N / EXPIRY_STEP + 7);
    } while (x.more);
    assert_true(removed >= N / 3); /* of other tests there may be more */
    for (size_t i = 0; i < N; i++)
        assert_int_equal(put_result(t->a, ids[i], "{}", "completed"),
                         i % 3 ? ERR_OK : ERR_NOT_FOUND);
    removed = walk(t->a, EXPIRY_JOBS, now - 2 * YEAR_MS).removed; /* they have just ended */
    assert_int_equal(removed, 0);
    x = (struct expiry){.kind = EXPIRY_JOBS};
    do {
        x.limits.before_ms = now - 2 * YEAR_MS;
        x.limits.ended_before_ms = now + 60000;
        assert_int_equal(store_expire(t->a, &x), ERR_OK);
        removed += x.removed;
    } while (x.more);
    assert_true(removed >= N - N / 3);
}

static void append(struct store *s, const char *job_id)
{
    char request[ID_SIZE];

    new_id(request);
    struct output_append a = {.asked = asked_now(request),
                              .job_id = text_of(job_id),
                              .type = OUTPUT_SERIAL,
                              .text = text_of("x")};
    assert_int_equal(append_one(s, &a), ERR_OK);
}

static enum err take(struct store *s, const char *job_id)
{
    json_t *value = json_array();
    enum err e =
        take_live(store_output_take, s, job_id, OUTPUT_SERIAL, STORE_DOCUMENT_MAX, false, value);

    json_decref(value);
    return e;
}

static void test_output(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], active[ID_SIZE], over[ID_SIZE], none[ID_SIZE];

    new_id(queue);
    new_id(none);
    add_job(t->a, queue, NULL, active);
    add_job(t->a, queue, NULL, over);
    assert_int_equal(put_result(t->a, over, "{}", "cancelled"), ERR_OK);
    append(t->a, active);
    append(t->a, over);
    append(t->a, none);
    walk(t->b, EXPIRY_OUTPUT, store_now_ms(t->b) + 1000); /* another type */
    walk(t->b, EXPIRY_SERIAL, clock_wall_us() / 1000 - 3600000);
    append(t->a, none);
    assert_true(walk(t->b, EXPIRY_SERIAL, store_now_ms(t->b) + 1000).removed >= 2);
    assert_int_equal(take(t->a, none), ERR_NOT_FOUND);
    assert_int_equal(take(t->a, over), ERR_NOT_FOUND);
    assert_int_equal(take(t->a, active), ERR_OK);
}

/* A waiting job with this end of its wait; 0: none. */
static void add_timed(struct store *s, const char *queue, int64_t wait_until_ms, char out[ID_SIZE])
{
    new_id(out);
    struct job_new job = {.asked = asked_now(out), .job_id = out, .wait_until_ms = wait_until_ms};
    job.data = json_pack("{s:s}", "job_queue", queue);
    assert_int_equal(store_jobs_add(s, &job, 1), ERR_OK);
    json_decref(job.data);
}

static void test_queue_timeouts(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], due[ID_SIZE], later[ID_SIZE], never[ID_SIZE], taken[ID_SIZE];
    char request[ID_SIZE];
    int64_t at = 10 * YEAR_MS; /* long before those of other tests */
    struct queue_timeouts step = {.now_ms = at};

    new_id(queue);
    new_id(request);
    add_timed(t->a, queue, at - 2, taken);
    struct text name = text_of(queue);
    struct claim c = claim_of(request, &name, "a");
    assert_int_equal(store_jobs_claim(t->a, &c, 1), ERR_OK);
    claim_done(&c);
    add_timed(t->a, queue, at - 1, due);
    add_timed(t->a, queue, at, later);
    add_timed(t->a, queue, 0, never);
    assert_int_equal(store_queue_timeouts(t->b, &step), ERR_OK);
    assert_int_equal(step.cancelled, 1);
    assert_string_equal(step.cancelled_ids[0], due);
    assert_false(step.more);
    assert_result(t->a, due,
                  "{'job_state': 'cancelled', 'end_reason': '" QUEUE_TIMEOUT_REASON "'}");
    assert_state(t->a, later, "waiting");
    assert_state(t->a, never, "waiting");
    assert_state(t->a, taken, "running");
    assert_int_equal(store_queue_timeouts(t->a, &step), ERR_OK);
    assert_int_equal(step.cancelled, 0);
}

const struct CMUnitTest expiry_suite[] = {
    cmocka_unit_test(test_queue_timeouts),
    cmocka_unit_test(test_jobs),
    cmocka_unit_test(test_walk),
    cmocka_unit_test(test_output),
};
SUITE_LEN(expiry);
