/* Claims: which job an agent gets, and that no other gets it. */
#include "tests/store/suite.h"

#include "worker/jobs/looks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void test_none(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE];

    new_id(queue);
    assert_next(t->a, queue, NULL);
}

static void test_order(void **state)
{
    enum { N = 7 };
    static const int64_t priorities[N] = {0, 5, -1, 5, 100, 0, -9223372036854775807};
    static const size_t order[N] = {4, 1, 3, 0, 5, 2, 6};
    struct stores *t = *state;
    char queue[ID_SIZE], ids[N][ID_SIZE];

    new_id(queue);
    for (size_t i = 0; i < N; i++)
        add_job_prio(t->a, queue, priorities[i], ids[i]);
    for (size_t i = 0; i < N; i++)
        assert_next(i % 2 ? t->a : t->b, queue, ids[order[i]]);
    assert_next(t->a, queue, NULL);
}

/* The time of the request decides, not its arrival at the store. */
static void test_order_of_requests(void **state)
{
    enum { N = 5 };
    static const int order[N] = {3, 0, 4, 1, 2};
    struct stores *t = *state;
    char queue[ID_SIZE], ids[N][ID_SIZE];

    new_id(queue);
    int64_t first = asked_now("x").received_us;
    for (size_t i = 0; i < N; i++) {
        new_id(ids[i]);
        struct job_new job = {.asked = {.request_id = ids[i], .received_us = first + order[i]},
                              .job_id = ids[i],
                              .data = json_pack("{s:s}", "job_queue", queue)};
        assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
        json_decref(job.data);
    }
    for (int place = 0; place < N; place++)
        for (size_t i = 0; i < N; i++)
            if (order[i] == place)
                assert_next(t->b, queue, ids[i]);
}

static void test_what_a_claim_gives(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], request[ID_SIZE], expected[256];
    struct text name = {queue, ID_SIZE - 1};

    new_id(queue);
    new_id(request);
    add_job(t->a, queue, "'n': {'x': 'a\\u0000b'}, 'attachments_status': 'complete'", id);
    struct claim c = claim_of(request, &name, "agent");
    assert_int_equal(store_jobs_claim(t->b, &c, 1), ERR_OK);
    assert_string_equal(c.job_id, id);
    snprintf(expected, sizeof expected,
             "{'job_queue': '%s', 'n': {'x': 'a\\u0000b'}, 'attachments_status': 'complete'}",
             queue);
    assert_json(c.data, expected);
    claim_done(&c);
    assert_result(t->a, id, "{'job_state': 'running'}");
}

static enum err claim_of_queues(struct store *s, const struct text *queues, size_t n, char *out)
{
    char request[ID_SIZE];

    new_id(request);
    struct claim c = {.asked = asked_now(request), .queues = queues, .queues_len = n};
    enum err e = store_jobs_claim(s, &c, 1);
    if (!e)
        snprintf(out, ID_SIZE, "%s", c.job_id);
    claim_done(&c);
    return e;
}

static void test_several_queues(void **state)
{
    enum { QUEUES = 3, N = 6 };
    static const size_t queue_of[N] = {2, 0, 1, 1, 2, 0};
    static const int64_t priorities[N] = {0, 0, 3, 0, 3, 0};
    static const size_t order[N] = {2, 4, 0, 1, 3, 5};
    struct stores *t = *state;
    char names[QUEUES][ID_SIZE], ids[N][ID_SIZE], found[ID_SIZE];
    struct text queues[QUEUES + 2];

    for (size_t i = 0; i < QUEUES; i++) {
        new_id(names[i]);
        queues[i] = text_of(names[i]);
    }
    queues[QUEUES] = queues[0]; /* named twice */
    queues[QUEUES + 1] = text_of("no such queue");
    for (size_t i = 0; i < N; i++)
        add_job_prio(t->a, names[queue_of[i]], priorities[i], ids[i]);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(claim_of_queues(t->b, queues, QUEUES + 2, found), ERR_OK);
        assert_string_equal(found, ids[order[i]]);
    }
    assert_int_equal(claim_of_queues(t->b, queues, QUEUES + 2, found), ERR_NOT_FOUND);
}

/* Names are compared byte by byte, NUL and all. */
static void test_names_of_queues(void **state)
{
    static const struct text ends[] = {
        {"", 0},        {" ", 1},        {"\0", 1},
        {"\0a", 2},     {"a", 1},        {"A", 1},
        {"$x.y", 4},    {"\xc3\xa9", 2}, {"\xf0\x9f\x98\x80", 4},
        {"'\"--%_", 6},
    };
    struct stores *t = *state;
    char base[ID_SIZE], id[ID_SIZE], found[ID_SIZE], name[64];

    new_id(base);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct text queue = {name, strlen(base) + ends[i].len};
        memcpy(name, base, strlen(base));
        memcpy(name + strlen(base), ends[i].s, ends[i].len);
        new_id(id);
        struct job_new job = {.asked = asked_now(id), .job_id = id, .data = json_object()};
        json_object_set_new(job.data, "job_queue", json_stringn(queue.s, queue.len));
        assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
        json_decref(job.data);
        for (size_t other = 0; other < sizeof ends / sizeof *ends; other++)
            if (other != i) {
                char other_name[64];
                memcpy(other_name, base, strlen(base));
                memcpy(other_name + strlen(base), ends[other].s, ends[other].len);
                struct text q = {other_name, strlen(base) + ends[other].len};
                assert_int_equal(claim_of_queues(t->a, &q, 1, found), ERR_NOT_FOUND);
            }
        assert_int_equal(claim_of_queues(t->a, &queue, 1, found), ERR_OK);
        assert_string_equal(found, id);
    }
}

static void test_attachments_gate(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], held[ID_SIZE], whole[ID_SIZE], none[ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, "'attachments_status': 'waiting'", held);
    add_job(t->a, queue, "'attachments_status': 'complete'", whole);
    add_job(t->a, queue, NULL, none);
    assert_next(t->a, queue, whole);
    assert_next(t->a, queue, none);
    assert_next(t->a, queue, NULL);
    assert_state(t->a, held, "waiting");
}

static void test_excluded_agents(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], first[ID_SIZE], second[ID_SIZE], third[ID_SIZE], found[ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, "'exclude_agents': ['x', 'a']", first);
    add_job(t->a, queue, "'exclude_agents': ['b', 'a\\u0000']", second);
    add_job(t->a, queue, "'exclude_agents': ['a']", third);
    assert_int_equal(claim_job(t->a, queue, "a", found), ERR_OK);
    assert_string_equal(found, second);
    assert_int_equal(claim_job(t->a, queue, "a", found), ERR_NOT_FOUND);
    assert_int_equal(claim_job(t->a, queue, "A", found), ERR_OK);
    assert_string_equal(found, first);
    assert_next(t->a, queue, third); /* an agent that is not told is excluded by nobody */
}

/* Adds `n` jobs, in one group, that exclude both agents. */
static void add_excluding(struct store *s, const char *queue, size_t n, char agents[2][ID_SIZE])
{
    json_t *data =
        json_pack("{s:s, s:[s,s]}", "job_queue", queue, "exclude_agents", agents[0], agents[1]);

    assert_int_equal(store_group_begin(s), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        char id[ID_SIZE];
        new_id(id);
        struct job_new job = {.asked = asked_now(id), .job_id = id, .data = data};
        assert_int_equal(store_jobs_add(s, &job, 1), ERR_OK);
    }
    assert_int_equal(store_group_commit(s), ERR_OK);
    json_decref(data);
}

/* Two agents whose places of the last look have one number: each gets the job behind thousands that
 * exclude both, however their claims follow each other. */
static void test_agents_that_many_jobs_exclude(void **state)
{
    enum { MANY = 3500, CLAIMS = 6 };
    struct stores *t = *state;
    char queue[ID_SIZE], agents[2][ID_SIZE], good[2][ID_SIZE], found[ID_SIZE];
    bool has[2] = {false, false};
    uint64_t keys[2];

    new_id(queue);
    for (size_t i = 0; i < 2 || (keys[0] >> 32) % LOOKS != (keys[1] >> 32) % LOOKS; i++) {
        size_t at = i ? 1 : 0;
        new_id(agents[at]);
        keys[at] = looks_key(&(struct text){queue, ID_SIZE - 1}, 1, text_of(agents[at]));
    }
    add_excluding(t->a, queue, MANY, agents);
    for (size_t i = 0; i < 2; i++)
        add_job(t->a, queue, NULL, good[i]);
    for (size_t i = 0; i < 2 * CLAIMS; i++)
        if (!has[i % 2] && claim_job(t->a, queue, agents[i % 2], found) == ERR_OK) {
            assert_true(strcmp(found, good[0]) == 0 || strcmp(found, good[1]) == 0);
            has[i % 2] = true;
        }
    assert_true(has[0] && has[1]);
}

static void test_repeated_claim(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], first[ID_SIZE], second[ID_SIZE], request[ID_SIZE];
    struct text name = {queue, ID_SIZE - 1};

    new_id(queue);
    new_id(request);
    add_job(t->a, queue, "'n': 1", first);
    add_job(t->a, queue, "'n': 2", second);
    struct claim c = claim_of(request, &name, "agent");
    assert_int_equal(store_jobs_claim(t->a, &c, 1), ERR_OK);
    int64_t started_ms = c.started_ms;
    for (int i = 0; i < 3; i++) {
        claim_done(&c);
        c.asked.repeat = true;
        assert_int_equal(store_jobs_claim(i % 2 ? t->a : t->b, &c, 1), ERR_OK);
        assert_string_equal(c.job_id, first);
        assert_int_equal(c.started_ms, started_ms);
        assert_int_equal(json_integer_value(json_object_get(c.data, "n")), 1);
    }
    claim_done(&c);
    assert_state(t->a, second, "waiting");
    assert_next(t->a, queue, second);
}

/* A repeat whose first try got no job gets one that is there now. */
static void test_repeat_of_a_claim_that_was_lost(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], request[ID_SIZE];
    struct text name = {queue, ID_SIZE - 1};

    new_id(queue);
    new_id(request);
    struct claim c = claim_of(request, &name, NULL);
    c.asked.repeat = true;
    assert_int_equal(store_jobs_claim(t->a, &c, 1), ERR_NOT_FOUND);
    add_job(t->a, queue, NULL, id);
    assert_int_equal(store_jobs_claim(t->a, &c, 1), ERR_OK);
    assert_string_equal(c.job_id, id);
    claim_done(&c);
}

/* Claims of one bundle: each gets a job of its own, in order, and its own result. */
static void test_several_claims_at_once(void **state)
{
    enum { N = 20, JOBS = 15 };
    struct stores *t = *state;
    struct claim claims[N];
    char queue[ID_SIZE], other[ID_SIZE], requests[N][ID_SIZE], ids[JOBS][ID_SIZE], last[ID_SIZE];
    struct text name = {queue, ID_SIZE - 1}, other_name = {other, ID_SIZE - 1};

    new_id(queue);
    new_id(other);
    for (size_t i = 0; i < JOBS; i++)
        add_job(t->a, queue, i == 0 ? "'exclude_agents': ['agent-0']" : NULL, ids[i]);
    add_job(t->a, other, NULL, last);
    for (size_t i = 0; i < N; i++) {
        new_id(requests[i]);
        claims[i] = claim_of(requests[i], i == 18 ? &other_name : &name, i ? "agent" : "agent-0");
    }
    assert_int_equal(store_jobs_claim(t->b, claims, N), ERR_OK);
    assert_int_equal(claims[0].err, ERR_OK);
    assert_string_not_equal(claims[0].job_id, ids[0]);
    assert_int_equal(claims[18].err, ERR_OK);
    assert_string_equal(claims[18].job_id, last);
    size_t served = 0;
    for (size_t i = 0; i < N; i++) {
        served += !claims[i].err;
        assert_true(!claims[i].err || claims[i].err == ERR_NOT_FOUND);
        for (size_t k = 0; k < i; k++)
            if (!claims[i].err && !claims[k].err)
                assert_string_not_equal(claims[i].job_id, claims[k].job_id);
    }
    assert_int_equal(served, JOBS + 1);
    for (size_t i = 0; i < N; i++)
        claim_done(&claims[i]);
    assert_next(t->a, queue, NULL);
}

static void test_none_at_once(void **state)
{
    struct stores *t = *state;
    struct claim claims[2];
    char queue[ID_SIZE], requests[2][ID_SIZE];
    struct text name = {queue, ID_SIZE - 1};

    new_id(queue);
    for (size_t i = 0; i < 2; i++) {
        new_id(requests[i]);
        claims[i] = claim_of(requests[i], &name, NULL);
    }
    assert_int_equal(store_jobs_claim(t->b, claims, 2), ERR_NOT_FOUND);
}

/* ---- several processes ---- */

enum { CLAIMERS = 4, CONTESTED = 200 };

struct claimer {
    const struct stores *stores;
    const char *queue;
    pthread_t thread;
    char ids[CONTESTED][ID_SIZE];
    size_t len;
    enum err end; /* what ended its loop */
};

/* No assertions here: cmocka's leave by longjmp, in the main thread only. */
static void *claim_all(void *arg)
{
    struct claimer *w = arg;
    struct store *s = NULL;
    struct text name = text_of(w->queue);
    char request[ID_SIZE];

    w->end = store_open(w->stores->uri, &w->stores->cfg, &s);
    while (!w->end) {
        new_id(request);
        struct claim c = {.asked = {.request_id = request}, .queues = &name, .queues_len = 1};
        w->end = store_group_begin(s);
        if (!w->end)
            w->end = store_jobs_claim(s, &c, 1);
        enum err commit = store_group_commit(s);
        if (commit)
            w->end = commit;
        else if (!w->end && w->len < CONTESTED)
            snprintf(w->ids[w->len++], ID_SIZE, "%s", c.job_id);
        claim_done(&c);
    }
    store_close(s);
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, ID_SIZE);
}

static void test_claimers_at_a_time(void **state)
{
    struct stores *t = *state;
    static struct claimer claimers[CLAIMERS];
    static char ids[CONTESTED][ID_SIZE], found[CONTESTED + 1][ID_SIZE];
    char queue[ID_SIZE];
    size_t len = 0;

    new_id(queue);
    assert_int_equal(store_group_begin(t->a), ERR_OK);
    for (size_t i = 0; i < CONTESTED; i++)
        add_job(t->a, queue, NULL, ids[i]);
    assert_int_equal(store_group_commit(t->a), ERR_OK);
    for (size_t i = 0; i < CLAIMERS; i++) {
        claimers[i] = (struct claimer){.stores = t, .queue = queue};
        assert_int_equal(pthread_create(&claimers[i].thread, NULL, claim_all, &claimers[i]), 0);
    }
    for (size_t i = 0; i < CLAIMERS; i++) {
        pthread_join(claimers[i].thread, NULL);
        assert_int_equal(claimers[i].end, ERR_NOT_FOUND);
        for (size_t k = 0; k < claimers[i].len && len <= CONTESTED; k++)
            memcpy(found[len++], claimers[i].ids[k], ID_SIZE);
    }
    assert_int_equal(len, CONTESTED);
    qsort(ids, CONTESTED, ID_SIZE, compare_ids);
    qsort(found, len, ID_SIZE, compare_ids);
    assert_memory_equal(ids, found, sizeof ids);
}

const struct CMUnitTest claims_suite[] = {
    cmocka_unit_test(test_none),
    cmocka_unit_test(test_order),
    cmocka_unit_test(test_order_of_requests),
    cmocka_unit_test(test_what_a_claim_gives),
    cmocka_unit_test(test_several_queues),
    cmocka_unit_test(test_names_of_queues),
    cmocka_unit_test(test_attachments_gate),
    cmocka_unit_test(test_excluded_agents),
    cmocka_unit_test(test_agents_that_many_jobs_exclude),
    cmocka_unit_test(test_repeated_claim),
    cmocka_unit_test(test_repeat_of_a_claim_that_was_lost),
    cmocka_unit_test(test_several_claims_at_once),
    cmocka_unit_test(test_none_at_once),
    cmocka_unit_test(test_claimers_at_a_time),
};
SUITE_LEN(claims);
