/* Lanes of the outbox: their order, claims, leases and retries. */
#include "tests/store/outbox_suite.h"

#include <stdio.h>
#include <unistd.h>

static void test_way_of_an_event(void **state)
{
    struct fixture *f = *state;
    struct outbox_look look;
    char job[64], id[REQUEST_ID_SIZE];

    snprintf(id, sizeof id, "%s", add(f, name(job, "job"), "http://r:1", BODY));
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].id, id);
    assert_string_equal(f->events[0].job_id, job);
    assert_string_equal(f->events[0].receiver, "http://r:1");
    assert_string_equal(f->events[0].url, "http://u:p@r/x");
    assert_string_equal(f->events[0].body, BODY);
    assert_int_equal(f->events[0].body_len, strlen(BODY));
    assert_int_equal(f->events[0].tries, 0);
    assert_true(llabs(f->events[0].since_ms - f->now) < 5000);
    assert_false(f->events[0].more);
    assert_int_equal(store_outbox_look(f->s, id, &look), ERR_OK);
    assert_int_equal(look.state, OUTBOX_PENDING);
    assert_true(look.due_ms == f->now + LEASE);
    settle(f, 0, OUTBOX_DONE, 0);
    assert_int_equal(store_outbox_look(f->s, id, &look), ERR_OK);
    assert_int_equal(look.state, OUTBOX_DELIVERED);
    assert_int_equal(look.status, 500);
    assert_int_equal(look.answer_len, 3);
    assert_memory_equal(look.answer, "a\0\xff", 3);
    f->now += 2 * LEASE;
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
    assert_int_equal(store_outbox_look(f->s, "nope", &look), ERR_NOT_FOUND);
}

static void test_claimed_when_added(void **state)
{
    struct fixture *f = *state;
    char job[64];
    struct post p[3];

    name(job, "job");
    for (int i = 0; i < 3; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        post_init(&p[i], job, i == 2 ? "http://r:2" : "http://r:1", mem_strdup(body), f->now);
        p[i].add.token = "mine";
    }
    struct outbox_add events[] = {p[0].add, p[1].add, p[2].add};
    assert_int_equal(store_outbox_add(f->s, events, 3), ERR_OK);
    assert_true(events[0].claimed);
    assert_false(events[1].claimed); /* behind the first */
    assert_true(events[2].claimed);  /* another receiver, another lane */
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
    /* As the dispatcher does it. */
    struct outbox_event first = {.lane = p[0].lane, .wake = 1, .token = "mine"};
    snprintf(first.id, sizeof first.id, "%s", p[0].id);
    struct outbox_settle o = {
        .event = &first, .outcome = OUTBOX_DONE, .now_ms = f->now, .status = 200};
    assert_int_equal(store_outbox_settle(f->s, &o, 1, &f->due), ERR_OK);
    assert_true(f->due); /* the second came meanwhile */
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].id, p[1].id);
    for (int i = 0; i < 3; i++)
        free((void *)(uintptr_t)p[i].add.body);
}

static void test_order_of_a_lane(void **state)
{
    struct fixture *f = *state;
    char job[64], ids[5][REQUEST_ID_SIZE];

    name(job, "job");
    for (int i = 0; i < 5; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        snprintf(ids[i], sizeof ids[i], "%s", add(f, job, "http://r:1", body));
        usleep(2000); /* as far apart as two requests of an agent are at least */
    }
    for (int i = 0; i < 5; i++) {
        claim(f, LIMIT);
        assert_int_equal(f->len, 1); /* one at a time */
        assert_string_equal(f->events[0].id, ids[i]);
        assert_int_equal(f->events[0].more, i < 4);
        struct outbox_event kept = f->events[0];
        f->len = 0;
        claim(f, LIMIT);
        assert_int_equal(f->len, 0);
        f->events[0] = kept;
        f->len = 1;
        settle(f, 0, i == 2 ? OUTBOX_GIVE_UP : OUTBOX_DONE, 0);
        assert_int_equal(f->due, i < 4);
    }
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
    assert_state(f, ids[2], OUTBOX_DEAD);
}

static void claim_lane(struct fixture *f, const char *job)
{
    char lane[OUTBOX_LANE_SIZE], token[64];
    struct outbox_claim c = {.lane = lane,
                             .token = name(token, "t"),
                             .now_ms = f->now,
                             .lease_end_ms = f->now + LEASE,
                             .limit = 1,
                             .accept = any,
                             .arg = f,
                             .events = f->events};

    forget(f);
    assert_int_equal(outbox_lane(job, "http://r:1", lane), ERR_OK);
    assert_int_equal(store_outbox_claim(f->s, &c), ERR_OK);
    f->len = c.len;
}

static void test_claim_of_one_lane(void **state)
{
    struct fixture *f = *state;
    char job[64], other[64];

    add(f, name(job, "job"), "http://r:1", BODY);
    add(f, name(other, "job"), "http://r:1", BODY);
    claim_lane(f, "no-such-job");
    assert_int_equal(f->len, 0);
    claim_lane(f, job);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].job_id, job);
    settle(f, 0, OUTBOX_RETRY, f->now + 1000);
    claim_lane(f, job); /* it is not due yet */
    assert_int_equal(f->len, 1);
    assert_int_equal(f->events[0].tries, 1);
    claim_lane(f, job); /* it is claimed */
    assert_int_equal(f->len, 0);
    f->now += LEASE;
    claim_lane(f, job); /* the lease has ended */
    assert_int_equal(f->len, 1);
    settle(f, 0, OUTBOX_DONE, 0);
    claim_lane(f, job);
    assert_int_equal(f->len, 0);
}

static void test_retry(void **state)
{
    struct fixture *f = *state;
    char job[64];

    add(f, name(job, "job"), "http://r:1", BODY);
    for (int i = 0; i < 3; i++) {
        claim(f, LIMIT);
        assert_int_equal(f->len, 1);
        assert_int_equal(f->events[0].tries, i);
        settle(f, 0, OUTBOX_RETRY, f->now + 1000);
        claim(f, LIMIT);
        assert_int_equal(f->len, 0);
        f->now += 999;
        claim(f, LIMIT);
        assert_int_equal(f->len, 0);
        f->now += 1;
    }
    claim(f, LIMIT);
    settle(f, 0, OUTBOX_PUT_BACK, f->now + 5);
    f->now += 5;
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_int_equal(f->events[0].tries, 3);
}

/* A dispatcher that dies: its lanes are due when the lease ends, and what it may still say then. */
static void test_lost_lease(void **state)
{
    struct fixture *f = *state;
    char job[64], id[REQUEST_ID_SIZE];
    struct outbox_event lost;

    snprintf(id, sizeof id, "%s", add(f, name(job, "job"), "http://r:1", BODY));
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    lost = f->events[0];
    f->len = 0;
    f->now += LEASE - 1;
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
    f->now += 1;
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].id, id);
    struct outbox_event now = f->events[0];

    /* The old one may not let go of the lane, nor kill the event for good. */
    f->events[0] = lost;
    settle(f, 0, OUTBOX_RETRY, f->now);
    f->len = 0;
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
    f->events[0] = lost;
    settle(f, 0, OUTBOX_GIVE_UP, 0);
    assert_state(f, id, OUTBOX_DEAD);
    f->events[0] = now;
    settle(f, 0, OUTBOX_DONE, 0);
    assert_state(f, id, OUTBOX_DELIVERED);
    f->events[0] = lost;
    settle(f, 0, OUTBOX_GIVE_UP, 0);
    settle(f, 0, OUTBOX_RETRY, f->now);
    assert_state(f, id, OUTBOX_DELIVERED);
    outbox_event_free(&lost);
    f->events[0] = now;
    f->len = 1;
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
}

static void test_receivers(void **state)
{
    struct fixture *f = *state;
    char jobs[6][64];

    for (int i = 0; i < 6; i++)
        add(f, name(jobs[i], "job"),
            i < 3   ? "http://r:1"
            : i < 5 ? "http://r:2"
                    : "http://r:3",
            BODY);
    f->only = "http://r:2";
    claim(f, LIMIT);
    assert_int_equal(f->len, 2);
    for (size_t i = 0; i < f->len; i++) {
        assert_string_equal(f->events[i].receiver, "http://r:2");
        settle(f, i, OUTBOX_DONE, 0);
    }
    f->only = NULL;
    f->exclude[0] = "http://r:1";
    f->exclude[1] = "http://nobody";
    f->exclude_len = 2;
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].receiver, "http://r:3");
    f->exclude_len = 0;
    settle(f, 0, OUTBOX_DONE, 0);
    claim(f, 2);
    assert_int_equal(f->len, 2);
    assert_true(f->more);
    settle(f, 0, OUTBOX_DONE, 0);
    settle(f, 1, OUTBOX_DONE, 0);
    claim(f, 2);
    assert_int_equal(f->len, 1);
    assert_false(f->more);
}

/* What comes while a lane is thought to be empty is not forgotten. */
static void test_comes_during_the_last_try(void **state)
{
    struct fixture *f = *state;
    char job[64], late[REQUEST_ID_SIZE];

    add(f, name(job, "job"), "http://r:1", BODY);
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_false(f->events[0].more);
    snprintf(late, sizeof late, "%s", add(f, job, "http://r:1", "late"));
    settle(f, 0, OUTBOX_DONE, 0);
    assert_true(f->due);
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].id, late);
}

/* Events of any size come whole, beside small ones, in one claim. */
static void test_large_events(void **state)
{
    enum { LARGE = 4 * 1024 * 1024 };
    struct fixture *f = *state;
    char job[64], *body = mem_alloc(LARGE + 1);

    memset(body, 'x', LARGE);
    name(job, "job");
    for (int i = 0; i < LIMIT; i++) {
        char receiver[32];
        snprintf(receiver, sizeof receiver, "http://r:%d", i / 2 + 1);
        body[0] = (char)('a' + i);
        add(f, job, receiver, i < 8 ? body : BODY);
        usleep(2000);
    }
    claim(f, LIMIT);
    assert_int_equal(f->len, LIMIT / 2);
    for (size_t i = 0; i < f->len; i++) {
        bool large = strcmp(f->events[i].receiver, "http://r:5") != 0;
        assert_int_equal(f->events[i].body_len, large ? LARGE : strlen(BODY));
        assert_int_equal(strlen(f->events[i].body), f->events[i].body_len);
        if (large)
            assert_int_equal(f->events[i].body[0], 'a' + 2 * (f->events[i].receiver[9] - '1'));
        assert_int_equal(f->events[i].more, large);
        settle(f, i, OUTBOX_DONE, 0);
    }
    free(body);
}

/* Inside a group, as handlers call it. */
static void test_group(void **state)
{
    struct fixture *f = *state;
    char job[64];

    assert_int_equal(store_group_begin(f->s), ERR_OK);
    add(f, name(job, "job"), "http://r:1", BODY);
    add(f, job, "http://r:1", "2");
    assert_int_equal(store_group_commit(f->s), ERR_OK);
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_true(f->events[0].more);
}

#define TESTS(row)                                                                                 \
    row(test_way_of_an_event), row(test_claimed_when_added), row(test_order_of_a_lane),            \
        row(test_claim_of_one_lane), row(test_retry), row(test_lost_lease), row(test_receivers),   \
        row(test_comes_during_the_last_try), row(test_large_events), row(test_group)

OUTBOX_MAIN("outbox lanes", TESTS)
