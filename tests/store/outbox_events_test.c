/* Events of the outbox: which are the same, dead letters, what is removed. */
#include "tests/store/outbox_suite.h"

#include "common/mem.h"

#include <stdio.h>

static void test_repeat_of_a_request(void **state)
{
    struct fixture *f = *state;
    char job[64];
    struct post p;

    post_init(&p, name(job, "job"), "http://r:1", BODY, f->now);
    p.add.token = "a";
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    assert_true(p.add.claimed);
    p.add.token = "b";
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    assert_false(p.add.claimed);
    assert_int_equal(p.add.state, OUTBOX_PENDING);
    f->now += LEASE;
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    settle(f, 0, OUTBOX_DONE, 0);
    /* The repeat raised the lane's count, so it was not taken for empty: now it is. */
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    assert_int_equal(p.add.state, OUTBOX_DELIVERED);
    assert_false(p.add.claimed);
    claim(f, LIMIT);
    assert_int_equal(f->len, 0);
}

/* An event that was given up meanwhile: only another request gives it a chance. */
static void test_repeat_of_a_dead_one(void **state)
{
    struct fixture *f = *state;
    char job[64];
    struct post p;

    post_init(&p, name(job, "job"), "http://r:1", BODY, f->now);
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    settle(f, 0, OUTBOX_GIVE_UP, 0);
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    assert_int_equal(p.add.state, OUTBOX_DEAD);
    assert_state(f, p.id, OUTBOX_DEAD);
}

static void test_same_content(void **state)
{
    struct fixture *f = *state;
    char job[64], other[64], id[REQUEST_ID_SIZE];

    snprintf(id, sizeof id, "%s", add(f, name(job, "job"), "http://r:1", BODY));
    assert_string_equal(add(f, job, "http://r:1", BODY), id);
    assert_string_not_equal(add(f, job, "http://r:1", "{}"), id);
    assert_string_not_equal(add(f, name(other, "job"), "http://r:1", BODY), id);
    f->only = NULL;
    claim(f, LIMIT);
    assert_int_equal(f->len, 2);
    size_t mine = strcmp(f->events[0].id, id) == 0 ? 0 : 1;
    assert_string_equal(f->events[mine].id, id);
    settle(f, mine, OUTBOX_GIVE_UP, 0);
    settle(f, !mine, OUTBOX_DONE, 0);
    assert_state(f, id, OUTBOX_DEAD);
    assert_string_equal(add(f, job, "http://r:1", BODY), id); /* again, from the beginning */
    assert_state(f, id, OUTBOX_PENDING);
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].id, id);
    assert_int_equal(f->events[0].tries, 0);
    settle(f, 0, OUTBOX_DONE, 0);
    assert_string_not_equal(add(f, job, "http://r:1", BODY), id); /* a new one */
}

/* Two of the same content in one call. */
static void test_same_content_at_once(void **state)
{
    struct fixture *f = *state;
    char job[64];
    struct post p[2];

    name(job, "job");
    for (int i = 0; i < 2; i++) {
        post_init(&p[i], job, "http://r:1", BODY, f->now);
        p[i].add.token = "x";
    }
    struct outbox_add events[] = {p[0].add, p[1].add};
    assert_int_equal(store_outbox_add(f->s, events, 2), ERR_OK);
    assert_string_equal(events[0].stored_id, p[0].id);
    assert_string_equal(events[1].stored_id, p[0].id);
    assert_true(events[0].claimed && !events[1].claimed);
    struct outbox_look look;
    assert_int_equal(store_outbox_look(f->s, p[1].id, &look), ERR_NOT_FOUND);
}

static json_t *dead(struct fixture *f, const char *after, size_t limit)
{
    struct outbox_page page = {after, limit};
    json_t *all;

    assert_int_equal(store_outbox_dead(f->s, &page, &all), ERR_OK);
    return all;
}

static void test_dead_letters(void **state)
{
    struct fixture *f = *state;
    char jobs[3][64], ids[3][REQUEST_ID_SIZE];
    struct outbox_backlog before, b;
    json_t *all;

    assert_int_equal(store_outbox_count(f->s, &before), ERR_OK);
    assert_int_equal(before.pending, 0);
    assert_true(before.oldest_ms == 0);
    for (int i = 0; i < 3; i++) {
        snprintf(ids[i], sizeof ids[i], "%s", add(f, name(jobs[i], "job"), "http://r:1", BODY));
        assert_int_equal(store_outbox_count(f->s, &b), ERR_OK);
        assert_int_equal(b.pending, 1);
        assert_true(llabs(b.oldest_ms - f->now) < 5000);
        claim(f, LIMIT);
        settle(f, 0, OUTBOX_GIVE_UP, 0);
        f->now += 5;
    }
    assert_int_equal(store_outbox_count(f->s, &b), ERR_OK);
    assert_int_equal(b.pending, 0);
    assert_int_equal(b.dead, before.dead + 3);
    struct outbox_page nowhere = {"nope", 1};
    assert_int_equal(store_outbox_dead(f->s, &nowhere, &all), ERR_NOT_FOUND);

    all = dead(f, ids[0], 100);
    assert_int_equal(json_array_size(all), 2);
    json_t *o = json_array_get(all, 1);
    const char *id, *job, *receiver, *url, *reason, *answer;
    json_int_t tries, status, created, died;
    assert_int_equal(json_unpack(o, "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "id", &id,
                                 "job_id", &job, "receiver", &receiver, "url", &url, "reason",
                                 &reason, "answer", &answer, "tries", &tries, "status", &status,
                                 "created_ms", &created, "dead_ms", &died),
                     0);
    assert_string_equal(id, ids[2]);
    assert_string_equal(job, jobs[2]);
    assert_string_equal(receiver, "http://r:1");
    assert_string_equal(url, "http://u:p@r/x");
    assert_string_equal(reason, "no luck");
    assert_string_equal(answer, "(not text)");
    assert_int_equal(tries, 1);
    assert_int_equal(status, 500);
    assert_true(llabs(created - f->now) < 5000 && died == f->now - 5);
    json_decref(all);
    all = dead(f, ids[0], 1);
    assert_int_equal(json_array_size(all), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "id")), ids[1]);
    json_decref(all);

    assert_int_equal(store_outbox_resend(f->s, ids[1], f->now), ERR_OK);
    assert_int_equal(store_outbox_resend(f->s, ids[1], f->now), ERR_NOT_FOUND);
    assert_int_equal(store_outbox_resend(f->s, "nope", f->now), ERR_NOT_FOUND);
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].id, ids[1]);
    assert_int_equal(f->events[0].tries, 0);
    assert_true(f->events[0].since_ms == f->now);
}

static void test_purge(void **state)
{
    struct fixture *f = *state;
    char jobs[4][64], ids[4][REQUEST_ID_SIZE];
    struct outbox_look look;

    for (int i = 0; i < 4; i++) {
        snprintf(ids[i], sizeof ids[i], "%s", add(f, name(jobs[i], "job"), "http://r:1", BODY));
        claim(f, LIMIT);
        settle(f, 0, i == 3 ? OUTBOX_GIVE_UP : OUTBOX_DONE, 0);
    }
    struct outbox_purge p = {.now_ms = f->now,
                             .mend = true,
                             .delivered_before_ms = f->now,
                             .dead_before_ms = f->now,
                             .limit = 1000};
    assert_int_equal(store_outbox_purge(f->s, &p), ERR_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(store_outbox_look(f->s, ids[i], &look), ERR_OK);
    p.delivered_before_ms = f->now + 1;
    p.limit = 2;
    assert_int_equal(store_outbox_purge(f->s, &p), ERR_OK);
    assert_int_equal(p.removed, 2);
    assert_int_equal(store_outbox_purge(f->s, &p), ERR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_outbox_look(f->s, ids[i], &look), ERR_NOT_FOUND);
    assert_int_equal(store_outbox_look(f->s, ids[3], &look), ERR_OK);
    p.dead_before_ms = f->now + 1;
    p.limit = 1000;
    assert_int_equal(store_outbox_purge(f->s, &p), ERR_OK);
    assert_int_equal(store_outbox_look(f->s, ids[3], &look), ERR_NOT_FOUND);
}

static void test_large(void **state)
{
    struct fixture *f = *state;
    char job[64], *body = mem_alloc(12 * MIB + 1);
    struct post p;

    memset(body, 'x', 12 * MIB);
    add(f, name(job, "job"), "http://r:1", body);
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_int_equal(f->events[0].body_len, 12 * MIB);
    assert_string_equal(f->events[0].body, body);
    free(body);
    body = mem_alloc(17 * MIB);
    memset(body, 'x', 17 * MIB - 1);
    post_init(&p, job, "http://r:1", body, f->now);
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_TOO_LARGE);
    assert_int_equal(p.add.err, ERR_TOO_LARGE);
    free(body);
}

/* Those of one job, not of another whose id begins alike. */
static void test_events_of_a_job(void **state)
{
    struct fixture *f = *state;
    char job[64], other[80];
    json_t *list = NULL;

    add(f, name(job, "job"), "http://r:1", BODY);
    add(f, job, "http://r:2", BODY);
    snprintf(other, sizeof other, "%s-2", job);
    add(f, other, "http://r:1", BODY);
    claim(f, 1);
    settle(f, 0, OUTBOX_GIVE_UP, 0);
    assert_int_equal(store_outbox_of_job(f->s, (struct text){job, strlen(job)}, 10, &list), ERR_OK);
    assert_int_equal(json_array_size(list), 2);
    json_t *one = json_array_get(list, 0);
    assert_true(json_integer_value(json_object_get(one, "created_ms")) > 0);
    assert_non_null(json_string_value(json_object_get(one, "receiver")));
    json_decref(list);
    assert_int_equal(store_outbox_of_job(f->s, (struct text){job, strlen(job)}, 1, &list), ERR_OK);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    assert_int_equal(store_outbox_of_job(f->s, (struct text){"", 0}, 9, &list), ERR_OK);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

#define TESTS(row)                                                                                 \
    row(test_repeat_of_a_request), row(test_repeat_of_a_dead_one), row(test_same_content),         \
        row(test_same_content_at_once), row(test_dead_letters), row(test_purge), row(test_large),  \
        row(test_events_of_a_job)

OUTBOX_MAIN("outbox events", TESTS)
