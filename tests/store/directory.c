/* What is known of queues and agents, whose turn it is to sweep, and who has which job. */
#include "tests/store/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Looks in a list for one member. */
struct look {
    struct text name;
    json_t *found; /* new reference, or NULL */
};

static bool look_at(void *arg, struct text name, json_t *value)
{
    struct look *l = arg;

    if (name.len == l->name.len && memcmp(name.s, l->name.s, name.len) == 0)
        l->found = value;
    else
        json_decref(value);
    return true;
}

static struct name_walk walk_to(struct look *l, const char *name)
{
    *l = (struct look){.name = text_of(name)};
    return (struct name_walk){.take = look_at, .arg = l};
}

static json_t *object_of(const char *key, const char *value)
{
    json_t *v = json_of(value);
    json_t *object = json_pack("{s:o}", key, v);

    assert_non_null(object);
    return object;
}

static enum err describe(struct store *s, const char *request_id, const json_t *texts)
{
    struct queues_put put = {.asked = asked_now(request_id), .descriptions = texts};
    enum err e = store_queues_describe(s, &put, 1);

    return e ? e : put.err;
}

static void test_descriptions(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], requests[2][ID_SIZE];
    struct look l;

    new_id(queue);
    for (int i = 0; i < 3; i++) { /* the third is the first, late */
        json_t *texts = object_of(queue, i == 1 ? "'later'" : "'first'");
        if (i < 2)
            new_id(requests[i]);
        assert_int_equal(describe(t->a, requests[i % 2], texts), ERR_OK);
        json_decref(texts);
        struct name_walk w = walk_to(&l, queue);
        assert_int_equal(store_queues_list(t->b, &w), ERR_OK);
        assert_json(l.found, i ? "'later'" : "'first'");
        json_decref(l.found);
    }
    struct name_walk behind = walk_to(&l, queue);
    behind.after = text_of(queue);
    assert_int_equal(store_queues_list(t->a, &behind), ERR_OK);
    assert_null(l.found);
}

static void test_images(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], first[ID_SIZE], second[ID_SIZE];
    json_t *images;

    new_id(queue);
    assert_int_equal(store_images_get(t->a, text_of(queue), &images), ERR_OK);
    assert_json(images, "{}");
    json_decref(images);
    json_t *given = object_of(queue, "{'a.b': 'url: x', '$c': ''}");
    json_t *older = object_of(queue, "{'b': ''}");
    new_id(first);
    new_id(second);
    struct asked asked[] = {asked_now(first), asked_now(second)};
    assert_int_equal(store_images_put(t->a, &asked[0], older), ERR_OK);
    assert_int_equal(store_images_put(t->a, &asked[1], given), ERR_OK);
    assert_int_equal(store_images_put(t->b, &asked[0], older), ERR_OK);
    json_decref(older);
    json_decref(given);
    assert_int_equal(store_images_get(t->b, text_of(queue), &images), ERR_OK);
    assert_json(images, "{'a.b': 'url: x', '$c': ''}");
    json_decref(images);
}

static void put_agent(struct store *s, const char *name, const char *queue)
{
    char request[ID_SIZE];

    new_id(request);
    struct agent_put a = {.asked = asked_now(request),
                          .name = text_of(name),
                          .fields = json_pack("{s:s, s:[s]}", "state", "waiting", "queues", queue)};
    assert_int_equal(put_one_agent(s, &a), ERR_OK);
    json_decref(a.fields);
}

/* Several reads in one call: each has its own agent, or none. */
static void assert_reads(struct store *s, const char *name, const char *nobody)
{
    struct agent_read reads[] = {{text_of(name), NULL, ERR_OK},
                                 {text_of(nobody), NULL, ERR_OK},
                                 {text_of(name), NULL, ERR_OK}};

    assert_int_equal(store_agents_get(s, reads, 3), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(reads[i].err, i == 1 ? ERR_NOT_FOUND : ERR_OK);
        const char *shown = json_string_value(json_object_get(reads[i].agent, "name"));
        assert_string_equal(shown ? shown : nobody, reads[i].name.s);
    }
    assert_ptr_not_equal(reads[0].agent, reads[2].agent); /* the caller changes them */
    json_decref(reads[0].agent);
    json_decref(reads[2].agent);
}

static void test_agents(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE], queue[ID_SIZE], nobody[ID_SIZE];
    struct look l;
    json_t *agent;

    new_id(name);
    new_id(queue);
    new_id(nobody);
    put_agent(t->a, name, queue);
    assert_int_equal(get_agent(t->b, text_of(nobody), &agent), ERR_NOT_FOUND);
    assert_int_equal(get_agent(t->b, text_of(name), &agent), ERR_OK);
    assert_json(json_object_get(agent, "state"), "'waiting'");
    assert_null(json_object_get(agent, "log"));
    json_decref(agent);
    assert_reads(t->b, name, nobody);

    struct name_walk w = walk_to(&l, name);
    assert_int_equal(store_agents_list(t->b, (struct text){0}, &w), ERR_OK);
    assert_non_null(l.found);
    json_decref(l.found);
    w = walk_to(&l, name);
    assert_int_equal(store_agents_list(t->b, text_of(queue), &w), ERR_OK);
    assert_non_null(l.found);
    json_decref(l.found);
    w = walk_to(&l, name);
    assert_int_equal(store_agents_list(t->b, text_of(nobody), &w), ERR_OK);
    assert_null(l.found);
}

static void assert_streak(struct store *s, const char *name, const char *type, int64_t count)
{
    json_t *agent;

    assert_int_equal(get_agent(s, text_of(name), &agent), ERR_OK);
    const char *is = json_string_value(json_object_get(agent, "provision_streak_type"));
    assert_string_equal(is ? is : "", type);
    assert_int_equal(json_integer_value(json_object_get(agent, "provision_streak_count")), count);
    json_decref(agent);
}

static void test_provision_log(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE], nobody[ID_SIZE], request[ID_SIZE];
    struct provision_entry e = {.request_id = request};

    new_id(name);
    new_id(nobody);
    put_agent(t->a, name, "q");
    e.fields = json_of("{'job_id': 'x', 'exit_code': 0}");
    for (int i = 1; i <= 2; i++) {
        new_id(request);
        e.agent = text_of(name);
        assert_int_equal(store_provision_add(t->a, &e), ERR_OK);
        assert_streak(t->b, name, "pass", i);
    }
    assert_int_equal(store_provision_add(t->b, &e), ERR_OK);
    assert_streak(t->a, name, "pass", 2);
    new_id(request);
    e.failed = true;
    assert_int_equal(store_provision_add(t->a, &e), ERR_OK);
    assert_streak(t->b, name, "fail", 1);
    new_id(request);
    e.agent = text_of(nobody);
    assert_int_equal(store_provision_add(t->a, &e), ERR_NOT_FOUND);
    json_decref(e.fields);
}

/* What a page shows of an agent: two provisionings of a job that it has reserved. */
static void test_agent_view(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE], nobody[ID_SIZE], request[ID_SIZE], id[ID_SIZE];
    struct provision_entry e = {.request_id = request};
    json_t *list;

    new_id(name);
    new_id(nobody);
    assert_int_equal(store_agent_log(t->a, text_of(nobody), &list), ERR_NOT_FOUND);
    assert_int_equal(store_provision_list(t->a, text_of(nobody), &list), ERR_OK);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    put_agent(t->a, name, "q");
    e.agent = text_of(name);
    for (int i = 0; i < 2; i++) {
        new_id(request);
        e.fields = json_pack("{s:s, s:i}", "job_id", "x", "exit_code", i);
        assert_int_equal(store_provision_add(t->a, &e), ERR_OK);
        json_decref(e.fields);
    }
    assert_int_equal(store_agent_log(t->b, text_of(name), &list), ERR_OK);
    assert_true(json_is_array(list));
    json_decref(list);
    assert_int_equal(store_provision_list(t->b, text_of(name), &list), ERR_OK);
    assert_int_equal(json_array_size(list), 2);
    const json_t *last = json_array_get(list, 1);
    assert_int_equal(json_integer_value(json_object_get(last, "exit_code")), 1);
    assert_true(json_is_integer(json_object_get(last, "timestamp")));
    json_decref(list);

    add_job(t->a, name, NULL, id);
    struct job_held held[] = {{.job_id = text_of(id)}, {.job_id = text_of(nobody)}};
    assert_int_equal(store_jobs_held(t->b, held, 2), ERR_OK);
    assert_int_equal(held[0].err, ERR_OK);
    assert_true(!held[0].lease_ms && !held[0].reserved_ms);
    assert_int_equal(held[1].err, ERR_NOT_FOUND);
    assert_int_equal(put_result(t->a, id, "{}", "reserve"), ERR_OK);
    assert_int_equal(store_jobs_held(t->b, held, 1), ERR_OK);
    int64_t left_ms = held[0].reserved_ms - store_now_ms(t->a);
    assert_true(left_ms > 0 && left_ms <= RESERVE_DEFAULT * 1000 + 1000);
}

static void test_wait_times(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE];
    struct text name = {queue, ID_SIZE - 1};
    struct look l;

    new_id(queue);
    add_job(t->a, queue, NULL, id);
    assert_next(t->b, queue, id);
    for (size_t n = 0; n < 2; n++) { /* all, and this one */
        struct name_walk w = walk_to(&l, queue);
        assert_int_equal(store_wait_times(t->a, &name, n, &w), ERR_OK);
        assert_int_equal(json_array_size(l.found), 1);
        json_decref(l.found);
    }
}

/* Whether the owner gets the turn until `end`; *other: when the turn of another one ends. */
static bool takes_turn(struct store *s, const char *owner, int64_t now, int64_t end, int64_t *other)
{
    struct sweep_turn turn = {.owner = owner, .now_ms = now, .end_ms = end};
    bool mine = false;

    assert_int_equal(store_sweep_turn(s, &turn, &mine), ERR_OK);
    *other = turn.end_ms;
    return mine;
}

static void test_turn(void **state)
{
    struct stores *t = *state;
    int64_t now = now_ms() + (int64_t)24 * 3600 * 1000; /* after the turns of other runs */
    char one[ID_SIZE], other[ID_SIZE];
    int64_t end;

    new_id(one);
    new_id(other);
    assert_true(takes_turn(t->a, one, now, now + 1000, &end));
    assert_false(takes_turn(t->b, other, now + 1, now + 1001, &end));
    assert_int_equal(end, now + 1000);
    assert_true(takes_turn(t->a, one, now + 2, now + 1002, &end));
    assert_false(takes_turn(t->b, other, now + 1001, now + 2001, &end));
    assert_int_equal(end, now + 1002);
    assert_true(takes_turn(t->b, other, now + 1003, now + 1004, &end));
}

/* A claim that nobody has confirmed goes back. */
static void test_overdue_claims(void **state)
{
    struct stores *t = *state;
    struct sweep sweep = {.now_ms = now_ms() + 60000, .before_ms = now_ms() + 60000};
    char queue[ID_SIZE], id[ID_SIZE];
    int woken = 0;

    new_id(queue);
    add_job(t->a, queue, NULL, id);
    assert_next(t->a, queue, id);
    assert_next(t->a, queue, NULL);
    do {
        sweep.wake_len = 0;
        assert_int_equal(store_claims_overdue(t->b, &sweep), ERR_OK);
        for (size_t i = 0; i < sweep.wake_len; i++) {
            woken += strcmp(sweep.wake[i], queue) == 0;
            free(sweep.wake[i]);
        }
    } while (sweep.more);
    assert_int_equal(woken, 1);
    assert_next(t->a, queue, id);
}

static struct job_holder holder_of(struct store *s, const char *job_id)
{
    struct job_holder h = {.job_id = text_of(job_id)};

    assert_int_equal(store_job_holders(s, &h, 1), ERR_OK);
    free(h.former);
    return h;
}

static void test_holders(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], claimed[ID_SIZE], nothing[ID_SIZE];

    new_id(queue);
    new_id(nothing);
    add_job(t->a, queue, NULL, id);
    struct job_holder h = holder_of(t->b, id);
    assert_int_equal(h.err, ERR_OK);
    assert_true(h.waits && !h.tried);
    assert_null(h.owner);
    assert_int_equal(claim_job(t->a, queue, "agent", claimed), ERR_OK);
    h = holder_of(t->b, id);
    assert_int_equal(h.err, ERR_OK);
    assert_false(h.waits || h.tried);
    assert_string_equal(h.owner, "agent");
    free(h.owner);
    assert_int_equal(holder_of(t->b, nothing).err, ERR_NOT_FOUND);
}

static void test_unfit(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], request[ID_SIZE];
    struct text name = {queue, ID_SIZE - 1};
    struct job_unfit u = {.token = "a token that it never had", .reason = UNFIT_REASON};

    new_id(queue);
    new_id(request);
    add_job(t->a, queue, NULL, id);
    struct claim c = claim_of(request, &name, NULL);
    assert_int_equal(store_jobs_claim(t->a, &c, 1), ERR_OK);
    claim_done(&c);
    u.job_id = text_of(id);
    assert_int_equal(store_job_unfit(t->b, &u), ERR_NOT_FOUND);
    u.token = request;
    assert_int_equal(store_job_unfit(t->b, &u), ERR_OK);
    assert_state(t->a, id, "cancelled");
    assert_next(t->a, queue, NULL);
}

static bool is_held(struct store *s, enum hold_kind kind, const char *name)
{
    struct hold_look look = {.kind = kind, .name = text_of(name)};

    assert_int_equal(store_holds_find(s, &look, 1), ERR_OK);
    return look.held;
}

/* The store that sets or ends a hold knows it at once, others within 1 s at most that it is set. */
static void test_holds(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE];
    struct hold_look any = {.kind = HOLD_QUEUE};
    json_t *list = NULL;
    int64_t now = store_now_ms(t->a);

    new_id(name);
    assert_false(is_held(t->a, HOLD_QUEUE, name));
    struct hold h = {.kind = HOLD_QUEUE,
                     .name = text_of(name),
                     .mode = HOLD_MODE_QUEUE,
                     .reason = text_of("why"),
                     .at_ms = now};
    assert_int_equal(store_hold_put(t->a, &h), ERR_OK);
    assert_true(is_held(t->a, HOLD_QUEUE, name));
    assert_false(is_held(t->a, HOLD_AGENT, name));
    usleep(1100000);
    assert_true(is_held(t->b, HOLD_QUEUE, name));
    assert_int_equal(store_holds_find(t->a, &any, 1), ERR_OK);
    assert_true(any.held);
    assert_int_equal(store_holds_list(t->b, HOLD_QUEUE, (struct text){0}, &list), ERR_OK);
    const json_t *shown = json_object_get(list, name);
    assert_string_equal(json_string_value(json_object_get(shown, "reason")), "why");
    assert_true(json_is_null(json_object_get(shown, "until")));
    json_decref(list);
    h.mode = NULL;
    h.only = "RESTART"; /* it is of another mode */
    assert_int_equal(store_hold_put(t->a, &h), ERR_OK);
    assert_true(is_held(t->a, HOLD_QUEUE, name));
    h.only = NULL;
    h.at_ms = now - 1; /* and newer than this */
    assert_int_equal(store_hold_put(t->a, &h), ERR_OK);
    assert_true(is_held(t->a, HOLD_QUEUE, name));
    h.at_ms = now;
    assert_int_equal(store_hold_put(t->a, &h), ERR_OK);
    assert_false(is_held(t->a, HOLD_QUEUE, name));
    assert_false(is_held(t->b, HOLD_QUEUE, name));
    h.mode = HOLD_MODE_QUEUE;
    h.until_ms = store_now_ms(t->a) + 60000;
    assert_int_equal(store_hold_put(t->a, &h), ERR_OK);
    assert_true(is_held(t->a, HOLD_QUEUE, name));
    h.until_ms = store_now_ms(t->a) + 100;
    assert_int_equal(store_hold_put(t->a, &h), ERR_OK);
    while (store_now_ms(t->a) <= h.until_ms)
        usleep(20000);
    assert_false(is_held(t->a, HOLD_QUEUE, name));
    assert_false(is_held(t->a, HOLD_QUEUE, "a name that is longer than any that can be held"));
}

const struct CMUnitTest directory_suite[] = {
    cmocka_unit_test(test_descriptions), cmocka_unit_test(test_images),
    cmocka_unit_test(test_agents),       cmocka_unit_test(test_provision_log),
    cmocka_unit_test(test_agent_view),   cmocka_unit_test(test_wait_times),
    cmocka_unit_test(test_turn),         cmocka_unit_test(test_holders),
    cmocka_unit_test(test_unfit),        cmocka_unit_test(test_overdue_claims),
    cmocka_unit_test(test_holds),
};
SUITE_LEN(directory);
