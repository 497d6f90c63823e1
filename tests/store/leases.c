/* Leases of running jobs, and jobs whose lease has run out. */
#include "tests/store/suite.h"

#include <stdlib.h>

#define DAY_MS ((int64_t)86400 * 1000)

/* Lets an agent claim the next job of the queue, with a lease until then. */
static void claim_until(struct store *s, const char *queue, const char *agent, int64_t lease_ms)
{
    char request[ID_SIZE];
    struct text name = text_of(queue);

    new_id(request);
    struct claim c = claim_of(request, &name, agent);
    c.lease_ms = lease_ms;
    assert_int_equal(store_jobs_claim(s, &c, 1), ERR_OK);
    claim_done(&c);
}

/* The end of the job's lease, as those see it that have run out by the end of time; 0: none. */
static int64_t lease_of(struct store *s, const char *job_id, struct orphan *ret)
{
    struct orphan orphans[SWEEP_MAX];
    size_t n = 0;
    int64_t lease_ms = 0;

    assert_int_equal(store_leases_overdue(s, now_ms() + 900 * DAY_MS, orphans, &n), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        bool is = strcmp(orphans[i].job_id, job_id) == 0;
        if (is)
            lease_ms = orphans[i].lease_ms;
        if (is && ret)
            *ret = orphans[i];
        else
            orphan_free(&orphans[i]);
    }
    return lease_ms;
}

static void renew(struct store *s, const char *job_id, const char *agent, bool certain,
                  int64_t at_ms, int64_t length_ms)
{
    struct lease_renewal r = {.job_id = text_of(job_id),
                              .agent = {agent, agent ? strlen(agent) : 0},
                              .certain = certain,
                              .now_ms = at_ms,
                              .length_ms = length_ms};

    assert_int_equal(store_leases_renew(s, &r, 1), ERR_OK);
}

static void put_until(struct store *s, const char *job_id, const char *state, int64_t lease_ms)
{
    char request[ID_SIZE];

    new_id(request);
    struct result_put p = {.asked = asked_now(request),
                           .fields = json_of(state ? "{}" : "{'device_info': {}}"),
                           .job_state = state,
                           .lease_ms = lease_ms};
    assert_int_equal(put_one_result(s, text_of(job_id), &p), ERR_OK);
    json_decref(p.fields);
}

static void test_renewal(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], none[ID_SIZE];
    int64_t at = now_ms() + 300 * DAY_MS;

    new_id(queue);
    new_id(none);
    add_job(t->a, queue, NULL, id);
    assert_int_equal(lease_of(t->a, id, NULL), 0);
    renew(t->a, id, "a", true, at, 1000); /* it waits */
    assert_int_equal(lease_of(t->a, id, NULL), 0);
    claim_until(t->a, queue, "a", at);
    assert_int_equal(lease_of(t->b, id, NULL), at);
    renew(t->a, id, "b", true, at, 1000);   /* another agent */
    renew(t->a, id, NULL, false, at, 1000); /* somebody */
    assert_int_equal(lease_of(t->a, id, NULL), at);
    renew(t->a, id, "a", false, at, 1000);
    assert_int_equal(lease_of(t->a, id, NULL), at + 1000);
    renew(t->a, id, "a", false, at + 400, 1000); /* more than half is left */
    assert_int_equal(lease_of(t->a, id, NULL), at + 1000);
    renew(t->a, id, NULL, true, at + 600, 1000);
    assert_int_equal(lease_of(t->a, id, NULL), at + 1600);
    renew(t->a, none, NULL, true, at, 1000);
}

static void test_states(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];
    int64_t at = now_ms() + 300 * DAY_MS;

    new_id(queue);
    add_job(t->a, queue,
            "'global_timeout': 100, 'reserve_data': {'timeout': 50}, 'rerun_on_orphan': 2", id);
    claim_until(t->a, queue, "a", at);
    put_until(t->a, id, "setup", at - 10);
    assert_int_equal(lease_of(t->a, id, NULL), at - 10);
    put_until(t->a, id, NULL, at - 20); /* no new state: not shorter */
    assert_int_equal(lease_of(t->a, id, NULL), at - 10);
    put_until(t->a, id, NULL, at + 200 * DAY_MS); /* one that is fresh may be left */
    assert_int_equal(lease_of(t->a, id, NULL), at + 200 * DAY_MS);
    put_until(t->a, id, "provision", at);
    renew(t->a, id, "a", true, at, 1000);
    assert_int_equal(lease_of(t->a, id, NULL), at + 101000);
    put_until(t->a, id, "provision", at);
    assert_int_equal(lease_of(t->a, id, NULL), at + 101000);
    put_until(t->a, id, "setup", at); /* late */
    assert_int_equal(lease_of(t->a, id, NULL), at + 101000);
    put_until(t->a, id, "reserve", at);
    renew(t->a, id, "a", true, at, 1000);
    assert_int_equal(lease_of(t->a, id, NULL), at + 51000);
    put_until(t->a, id, "cleanup", at);
    assert_int_equal(lease_of(t->a, id, NULL), at);
    put_until(t->a, id, "complete", at);
    assert_int_equal(lease_of(t->a, id, NULL), 0);
    renew(t->a, id, "a", true, at, 1000);
    put_until(t->a, id, NULL, at);
    assert_int_equal(lease_of(t->a, id, NULL), 0);
    assert_int_equal(resubmit(t->a, queue, NULL, id), ERR_OK);
    claim_until(t->a, queue, "a", at);
    assert_int_equal(cancel_job(t->a, id), ERR_OK);
    assert_int_equal(lease_of(t->a, id, NULL), 0);
}

static enum err end(struct store *s, const char *job_id, int64_t lease_ms, bool rerun)
{
    struct orphan_end e = {
        .job_id = text_of(job_id), .lease_ms = lease_ms, .reason = "gone", .rerun = rerun};

    return store_orphan_end(s, &e);
}

static void test_orphan(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];
    int64_t at = now_ms() - 300 * DAY_MS;
    struct orphan o = {0};

    new_id(queue);
    add_job(t->a, queue, "'rerun_on_orphan': 3, 'job_status_webhook': 'http://a.b/c'", id);
    claim_until(t->a, queue, "agent", at);
    put_until(t->a, id, NULL, 0);
    assert_int_equal(lease_of(t->b, id, &o), at);
    assert_string_equal(o.queue, queue);
    assert_string_equal(o.state, "running");
    assert_string_equal(o.owner, "agent");
    assert_string_equal(o.webhook, "http://a.b/c");
    assert_int_equal(o.allowed, 3);
    assert_int_equal(o.reruns, 0);
    orphan_free(&o);
    assert_int_equal(end(t->a, id, at + 1, false), ERR_NOT_FOUND);
    assert_state(t->a, id, "running");
    assert_int_equal(end(t->a, id, at, true), ERR_OK);
    assert_int_equal(end(t->b, id, at, true), ERR_NOT_FOUND);
    assert_result(t->a, id, "{'job_state': 'waiting'}");
    claim_until(t->a, queue, "agent", at + 5);
    assert_int_equal(lease_of(t->b, id, &o), at + 5);
    assert_int_equal(o.reruns, 1);
    orphan_free(&o);
    assert_int_equal(end(t->a, id, at + 5, false), ERR_OK);
    assert_result(t->a, id, "{'job_state': 'cancelled', 'end_reason': 'gone'}");
    put_until(t->a, id, "test", at);
    assert_state(t->a, id, "cancelled");
    put_until(t->a, id, "completed", at);
    assert_result(t->a, id, "{'job_state': 'completed'}");
    assert_int_equal(resubmit(t->a, queue, NULL, id), ERR_OK); /* counts anew */
    claim_until(t->a, queue, "agent", at + 6);
    assert_int_equal(lease_of(t->b, id, &o), at + 6);
    assert_int_equal(o.reruns, 0);
    orphan_free(&o);
    put_until(t->a, id, "complete", 0);
}

/* A claim that went back has no lease, and its job is nobody's. */
static void test_returned_claim(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], request[ID_SIZE];
    struct text name = {queue, ID_SIZE - 1};
    struct claim_settle back = {.arrived = false};

    new_id(queue);
    new_id(request);
    add_job(t->a, queue, NULL, id);
    struct claim c = claim_of(request, &name, "agent");
    c.lease_ms = now_ms() + DAY_MS;
    assert_int_equal(store_jobs_claim(t->a, &c, 1), ERR_OK);
    claim_done(&c);
    memcpy(back.token, request, ID_SIZE);
    assert_int_equal(store_claims_settle(t->a, &back, 1), ERR_OK);
    assert_string_equal(back.queue, queue);
    free(back.queue);
    assert_state(t->a, id, "waiting");
    assert_int_equal(lease_of(t->a, id, NULL), 0);
}

static enum err adjust(struct store *s, const char *job_id, const char *request,
                       struct job_adjust a)
{
    a.asked = asked_now(request);
    a.job_id = text_of(job_id);
    return store_job_adjust(s, &a);
}

static void test_adjust(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], one[ID_SIZE], two[ID_SIZE];
    struct job_adjust longer = {.extends = true, .seconds = 10, .max_s = 65};
    struct job_adjust more = {.priority = 7};
    struct orphan seen = {0};
    int64_t at = now_ms() + 300 * DAY_MS;

    new_id(queue);
    new_id(one);
    new_id(two);
    assert_int_equal(adjust(t->a, one, one, more), ERR_NOT_FOUND);
    add_job(t->a, queue, "'reserve_data': {'timeout': 50}", id);
    assert_int_equal(adjust(t->a, id, one, longer), ERR_CONFLICT);
    assert_int_equal(adjust(t->a, id, two, more), ERR_OK);
    claim_until(t->a, queue, "a", at);
    assert_int_equal(adjust(t->b, id, two, more), ERR_OK); /* a repeat */
    new_id(two);
    assert_int_equal(adjust(t->b, id, two, more), ERR_CONFLICT);
    put_until(t->a, id, "reserve", at);
    new_id(one);
    assert_int_equal(adjust(t->a, id, one, longer), ERR_OK);
    assert_int_equal(adjust(t->b, id, one, longer), ERR_OK); /* a repeat */
    new_id(two);
    assert_int_equal(adjust(t->a, id, two, longer), ERR_FULL); /* 60 of 65 seconds are used */
    renew(t->a, id, "a", true, at, 1000);
    assert_int_equal(lease_of(t->a, id, &seen), at + 61000);
    orphan_free(&seen);
}

/* How many jobs the agent has lost that it claimed before this time. */
/* A run that ends for another one: what is known of it, and who must not get the job again. */
static void test_exclude(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];
    int64_t at = now_ms() + DAY_MS;
    struct orphan o = {0};

    new_id(queue);
    add_job(t->a, queue, NULL, id);
    assert_int_equal(store_orphan_get(t->b, text_of("no such job"), &o), ERR_NOT_FOUND);
    claim_until(t->a, queue, "a1", at);
    assert_int_equal(store_orphan_get(t->b, text_of(id), &o), ERR_OK);
    assert_string_equal(o.owner, "a1");
    assert_string_equal(o.queue, queue);
    assert_int_equal(o.lease_ms, at);
    assert_int_equal(o.reruns, 0);
    assert_true(o.claimed_ms > 0);
    orphan_free(&o);
    struct orphan_end e = {
        .job_id = text_of(id), .lease_ms = at, .reason = "r", .rerun = true, .exclude = "a1"};
    assert_int_equal(store_orphan_end(t->b, &e), ERR_OK);
    struct job_read read = {.job_id = text_of(id)};
    assert_int_equal(store_jobs_get(t->a, &read, 1), ERR_OK);
    json_t *excluded = json_pack("[s]", "a1");
    assert_true(json_equal(json_object_get(read.value, "exclude_agents"), excluded));
    json_decref(excluded);
    json_decref(read.value);
    assert_int_equal(store_orphan_get(t->a, text_of(id), &o), ERR_OK);
    assert_string_equal(o.state, "waiting");
    assert_int_equal(o.lease_ms, 0);
    assert_int_equal(o.reruns, 1);
    orphan_free(&o);
    char request[ID_SIZE];
    struct text name = text_of(queue);
    new_id(request);
    struct claim c = claim_of(request, &name, "a1");
    assert_int_equal(store_jobs_claim(t->a, &c, 1), ERR_NOT_FOUND);
    claim_until(t->a, queue, "a2", at);
    put_until(t->a, id, "complete", 0);
}

static size_t left_by(struct store *s, const char *agent, int64_t before_ms)
{
    const struct agent_since since = {.name = text_of(agent), .before_ms = before_ms};
    struct orphan orphans[SWEEP_MAX];
    size_t n = 0;

    assert_int_equal(store_agents_left(s, &since, 1, orphans, &n), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(orphans[i].owner, agent);
        orphan_free(&orphans[i]);
    }
    return n;
}

/* Not while the claim is open, nor jobs that were claimed later, have no lease or are over. */
static void test_left(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], agent[ID_SIZE], other[ID_SIZE];
    int64_t later = now_ms() + DAY_MS;

    new_id(queue);
    new_id(agent);
    new_id(other);
    add_job(t->a, queue, NULL, id);
    claim_until(t->a, queue, agent, later);
    assert_int_equal(left_by(t->b, agent, later), 0);
    put_until(t->a, id, "test", later);
    assert_int_equal(left_by(t->b, agent, later), 1);
    assert_int_equal(left_by(t->b, agent, now_ms() - DAY_MS), 0);
    assert_int_equal(left_by(t->b, other, later), 0);
    put_until(t->a, id, "complete", 0);
    assert_int_equal(left_by(t->b, agent, later), 0);
    add_job(t->a, queue, NULL, id);
    claim_until(t->a, queue, agent, 0);
    put_until(t->a, id, "test", 0);
    assert_int_equal(left_by(t->b, agent, later), 0);
}

const struct CMUnitTest leases_suite[] = {
    cmocka_unit_test(test_adjust),         cmocka_unit_test(test_renewal),
    cmocka_unit_test(test_states),         cmocka_unit_test(test_orphan),
    cmocka_unit_test(test_returned_claim), cmocka_unit_test(test_left),
    cmocka_unit_test(test_exclude),
};
SUITE_LEN(leases);
