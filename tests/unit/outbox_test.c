/* The outbox of both stores: each test runs on an SQLite file of its own, and on the database of
 * TEST_STORE_URI where that is given. */
#include "common/clock.h"
#include "common/mem.h"
#include "worker/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { LEASE = 20000, LIMIT = 10 };
#define BODY "{\"events\": []}"

/* One run's store and what it has claimed last. */
struct fixture {
    struct store *s;
    int64_t now;
    char path[64];
    struct outbox_event events[LIMIT];
    size_t len;
    bool more;
    const char *only;        /* the receiver that accept() takes, NULL: all */
    const char *exclude[64]; /* for the next claims */
    size_t exclude_len;
};

static struct config cfg = {.store_timeout = 2000};
static unsigned serial;

/* Names that no other test has used. */
static const char *name(char out[64], const char *prefix)
{
    snprintf(out, 64, "%s-%d-%u", prefix, (int)getpid(), ++serial);
    return out;
}

static const char *new_id(char out[REQUEST_ID_SIZE])
{
    snprintf(out, REQUEST_ID_SIZE, "%08x-0000-4000-8000-%012x", (unsigned)getpid(), ++serial);
    return out;
}

static int open_store(void **state, const char *uri)
{
    struct fixture *f = mem_alloc(sizeof *f);

    f->now = clock_wall_us() / 1000;
    *state = f;
    if (uri)
        return store_open(uri, &cfg, &f->s) ? -1 : 0;
    snprintf(f->path, sizeof f->path, "/tmp/tf-outbox-%d-%u.db", (int)getpid(), ++serial);
    char file[80];
    snprintf(file, sizeof file, "sqlite:%s", f->path);
    return store_open(file, &cfg, &f->s) ? -1 : 0;
}

static int open_sqlite(void **state)
{
    return open_store(state, NULL);
}

static int open_other(void **state)
{
    return open_store(state, getenv("TEST_STORE_URI"));
}

static void forget(struct fixture *f)
{
    for (size_t i = 0; i < f->len; i++)
        outbox_event_free(&f->events[i]);
    f->len = 0;
}

static bool any(void *arg, const char *receiver)
{
    struct fixture *f = arg;

    return !f->only || strcmp(f->only, receiver) == 0;
}

static void claim(struct fixture *f, size_t limit)
{
    char token[64];
    struct outbox_claim c = {.token = name(token, "t"),
                             .now_ms = f->now,
                             .lease_end_ms = f->now + LEASE,
                             .limit = limit,
                             .exclude = f->exclude,
                             .exclude_len = f->exclude_len,
                             .accept = any,
                             .arg = f,
                             .events = f->events};

    forget(f);
    assert_int_equal(store_outbox_claim(f->s, &c), ERR_OK);
    f->len = c.len;
    f->more = c.more;
    for (size_t i = 0; i < f->len; i++)
        assert_string_equal(f->events[i].token, token);
}

static void settle(struct fixture *f, size_t i, enum outbox_outcome outcome, int64_t due_ms)
{
    struct outbox_settle o = {.event = &f->events[i],
                              .outcome = outcome,
                              .now_ms = f->now,
                              .due_ms = due_ms,
                              .reason = "no luck",
                              .status = 500,
                              .answer = {"a\0\xff", 3}};

    assert_int_equal(store_outbox_settle(f->s, &o, 1), ERR_OK);
}

/* Ends every lane, so that tests on one database do not meet. */
static int close_store(void **state)
{
    struct fixture *f = *state;

    f->only = NULL;
    f->exclude_len = 0;
    f->now += 10 * LEASE;
    do {
        claim(f, LIMIT);
        for (size_t i = 0; i < f->len; i++)
            settle(f, i, OUTBOX_DONE, 0);
    } while (f->len);
    forget(f);
    store_close(f->s);
    if (*f->path) {
        char file[80];
        unlink(f->path);
        snprintf(file, sizeof file, "%s-wal", f->path);
        unlink(file);
        snprintf(file, sizeof file, "%s-shm", f->path);
        unlink(file);
    }
    free(f);
    return 0;
}

struct post {
    char id[REQUEST_ID_SIZE], lane[OUTBOX_LANE_SIZE];
    struct outbox_add add;
};

static void post_init(struct post *p, const char *job, const char *receiver, const char *body,
                      int64_t now)
{
    new_id(p->id);
    assert_int_equal(outbox_lane(job, receiver, p->lane), ERR_OK);
    p->add = (struct outbox_add){.id = p->id,
                                 .job_id = job,
                                 .lane = p->lane,
                                 .receiver = receiver,
                                 .url = "http://u:p@r/x",
                                 .body = body,
                                 .now_ms = now,
                                 .lease_end_ms = now + LEASE};
}

/* Adds an event that is not claimed; returns the id under which it is kept. */
static char *add(struct fixture *f, const char *job, const char *receiver, const char *body)
{
    static char ids[8][REQUEST_ID_SIZE];
    char *id = ids[serial % 8];
    struct post p;

    post_init(&p, job, receiver, body, f->now);
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    assert_int_equal(p.add.err, ERR_OK);
    assert_false(p.add.claimed);
    snprintf(id, REQUEST_ID_SIZE, "%s", p.add.stored_id);
    return id;
}

static void assert_state(struct fixture *f, const char *id, enum outbox_state state)
{
    struct outbox_look look;

    assert_int_equal(store_outbox_look(f->s, id, &look), ERR_OK);
    assert_int_equal(look.state, state);
}

/* ---- */

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
    assert_int_equal(store_outbox_settle(f->s, &o, 1), ERR_OK);
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

static void test_repeat_of_a_request(void **state)
{
    struct fixture *f = *state;
    char job[64];
    struct post p;

    post_init(&p, name(job, "job"), "http://r:1", BODY, f->now);
    p.add.token = "a";
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    assert_true(p.add.claimed);
    p.add.repeat = true;
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
    claim(f, LIMIT);
    assert_int_equal(f->len, 1);
    assert_string_equal(f->events[0].id, late);
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

#define BOTH(test)                                                                                 \
    {                                                                                              \
        "sqlite: " #test, test, open_sqlite, close_store, NULL                                     \
    }
#define OTHER(test)                                                                                \
    {                                                                                              \
        "other: " #test, test, open_other, close_store, NULL                                       \
    }
#define ROWS(KIND)                                                                                 \
    KIND(test_way_of_an_event), KIND(test_claimed_when_added), KIND(test_order_of_a_lane),         \
        KIND(test_claim_of_one_lane), KIND(test_retry), KIND(test_lost_lease),                     \
        KIND(test_repeat_of_a_request), KIND(test_same_content), KIND(test_same_content_at_once),  \
        KIND(test_receivers), KIND(test_dead_letters), KIND(test_purge),                           \
        KIND(test_comes_during_the_last_try), KIND(test_large), KIND(test_group)

int main(void)
{
    const struct CMUnitTest sqlite[] = {ROWS(BOTH)};
    const struct CMUnitTest other[] = {ROWS(OTHER)};
    int failed = cmocka_run_group_tests_name("outbox", sqlite, NULL, NULL);

    if (getenv("TEST_STORE_URI"))
        failed += cmocka_run_group_tests_name("outbox", other, NULL, NULL);
    return failed;
}
