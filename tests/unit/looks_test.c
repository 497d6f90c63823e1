#include "worker/jobs/claims.h"
#include "worker/jobs/looks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A queue whose jobs stand in their order; `id` says which one. */
struct queue {
    const struct job_place *jobs;
    size_t n, good; /* the one that the agent may have; n: none */
    size_t looked;
    bool coarse; /* as a back end that finds those of the last time once more */
};

static enum err look(void *arg, const struct job_place *from, struct job_place *last)
{
    struct queue *q = arg;
    size_t i = 0, seen = 0;

    while (from && i < q->n && !job_place_before(from, &q->jobs[i]) &&
           (!q->coarse || q->jobs[i].created != from->created))
        i++;
    for (; i < q->n && seen < LOOK_JOBS; i++, seen++) {
        q->looked++;
        *last = q->jobs[i];
        if (q->coarse)
            last->id = 0;
        if (i == q->good)
            return ERR_OK;
    }
    return seen < LOOK_JOBS ? ERR_NOT_FOUND : ERR_FULL;
}

enum { MANY = 5500 };
static struct job_place jobs[MANY];

static void fill(int64_t a_time)
{
    for (int64_t i = 0; i < MANY; i++)
        jobs[i] =
            (struct job_place){.priority = i < 100 ? 5 : 0, .created = i / a_time, .id = i + 1};
}

/* How many claims it takes until the agent has the job; 0: more than 99. */
static int claims_until(struct looks *l, uint64_t key, struct queue *q)
{
    for (int n = 1; n < 100; n++) {
        size_t before = q->looked;
        enum err e = looks_find(l, key, n, look, q);
        assert_true(q->looked - before <= 2 * LOOK_JOBS);
        if (!e)
            return n;
        assert_int_equal(e, ERR_NOT_FOUND);
    }
    return 0;
}

static struct looks looks;

static void test_a_job_behind_many(void **state)
{
    static const struct {
        size_t good;
        int claims;
    } cases[] = {{0, 1}, {999, 1}, {1000, 1}, {1999, 1}, {2000, 2}, {5499, 5}};

    (void)state;
    fill(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct queue q = {.jobs = jobs, .n = MANY, .good = cases[i].good};
        memset(&looks, 0, sizeof looks);
        assert_int_equal(claims_until(&looks, 1, &q), cases[i].claims);
    }
}

/* After its end the second look starts again, so a job added meanwhile is found. */
static void test_it_begins_again(void **state)
{
    struct queue q = {.jobs = jobs, .n = MANY, .good = MANY};

    (void)state;
    fill(1);
    memset(&looks, 0, sizeof looks);
    for (int i = 0; i < 3; i++)
        assert_int_equal(looks_find(&looks, 1, i, look, &q), ERR_NOT_FOUND);
    q.good = 1500; /* after the first look, before the place of the second one */
    assert_in_range(claims_until(&looks, 1, &q), 2, 4);
}

static void test_jobs_of_one_time(void **state)
{
    struct queue q = {.jobs = jobs, .n = MANY, .good = MANY - 1, .coarse = true};

    (void)state;
    fill(700); /* as many as a look can pass */
    memset(&looks, 0, sizeof looks);
    assert_in_range(claims_until(&looks, 1, &q), 5, 20);
    fill(3000); /* more: they are left out, and it goes on */
    memset(&looks, 0, sizeof looks);
    for (int i = 0; i < 9; i++)
        assert_int_equal(looks_find(&looks, 1, i, look, &q), ERR_NOT_FOUND);
}

/* Agents whose keys share a place do not evict each other. */
static void test_agents_in_one_place(void **state)
{
    uint64_t keys[LOOK_PROBES];
    struct queue q = {.jobs = jobs, .n = MANY, .good = MANY - 1};
    int claims = 0;
    size_t found = 0;

    (void)state;
    fill(1);
    memset(&looks, 0, sizeof looks);
    for (uint64_t i = 0; i < LOOK_PROBES; i++)
        keys[i] = (UINT64_C(77) << 32) | (2 * i + 1);
    for (; !found && claims < 10; claims++)
        for (size_t i = 0; i < LOOK_PROBES; i++)
            found += looks_find(&looks, keys[i], claims + 1, look, &q) == ERR_OK;
    assert_int_equal(found, LOOK_PROBES);
    assert_int_equal(claims, 5);
}

static void test_the_oldest_goes(void **state)
{
    const uint64_t base = (uint64_t)(LOOKS - 1) << 32; /* neighbours go on at the begin */

    (void)state;
    memset(&looks, 0, sizeof looks);
    for (uint64_t i = 0; i < LOOK_PROBES; i++)
        looks_note(&looks, base | (2 * i + 1), 100 + (int64_t)i);
    looks_note(&looks, base | 1, 200);
    looks_note(&looks, base | 99, 201);
    for (uint64_t i = 0; i < LOOK_PROBES; i++)
        assert_int_equal(looks_noted(&looks, base | (2 * i + 1), 202), i != 1);
    assert_true(looks_noted(&looks, base | 99, 201 + LOOKS_NOTED_MS - 1));
    assert_false(looks_noted(&looks, base | 99, 201 + LOOKS_NOTED_MS));
}

static void test_keys(void **state)
{
    const struct text ab[] = {{"a", 1}, {"b", 1}}, one[] = {{"ab", 2}};
    const struct text nobody = {NULL, 0}, unnamed = {"", 0};

    (void)state;
    assert_int_not_equal(looks_key(ab, 2, nobody), looks_key(one, 1, nobody));
    assert_int_not_equal(looks_key(ab, 2, nobody), looks_key(ab, 2, unnamed));
    assert_int_not_equal(looks_key(ab, 1, ab[1]), looks_key(ab, 1, ab[0]));
    assert_int_not_equal(looks_key(ab, 0, nobody), 0);
}

static void test_order(void **state)
{
    static const struct job_place in_order[] = {{5, 9, 9}, {0, 1, 0},  {0, 1, 3},
                                                {0, 2, 1}, {-1, 0, 0}, {JOB_PLACE_LAST, 0, 0}};
    enum { N = sizeof in_order / sizeof *in_order };

    (void)state;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++)
            assert_int_equal(job_place_before(&in_order[i], &in_order[k]), i < k);
}

static void test_rules_of_claims(void **state)
{
    const struct text queues[] = {{"a", 1}, {"", 0}, {"ab", 2}};

    (void)state;
    assert_int_equal(claim_wait_s(1000, 3999), 2);
    assert_int_equal(claim_wait_s(1000, 1000), 0);
    assert_int_equal(claim_wait_s(5000, 1000), 0);
    assert_true(claim_is_lost((struct text){"running", 7}));
    assert_false(claim_is_lost((struct text){"runnin", 6}));
    assert_false(claim_is_lost((struct text){"setup", 5}));
    assert_false(claim_is_lost((struct text){NULL, 0}));
    assert_true(claim_asks_for(queues, 3, (struct text){"ab", 2}));
    assert_true(claim_asks_for(queues, 3, (struct text){"", 0}));
    assert_false(claim_asks_for(queues, 1, (struct text){"ab", 2}));
    assert_false(claim_asks_for(queues, 3, (struct text){NULL, 0}));
    assert_false(claim_asks_for(queues, 0, (struct text){"a", 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_behind_many),
        cmocka_unit_test(test_it_begins_again),
        cmocka_unit_test(test_jobs_of_one_time),
        cmocka_unit_test(test_agents_in_one_place),
        cmocka_unit_test(test_the_oldest_goes),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_rules_of_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
