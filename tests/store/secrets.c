/* Secrets of clients. */
#include "tests/store/suite.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

static void put(struct store *s, const char *client, const char *path, const char *value,
                bool single_use, int64_t expires_ms, bool existed)
{
    struct secret_put p = {.client = text_of(client),
                           .path = text_of(path),
                           .value = text_of(value),
                           .single_use = single_use,
                           .expires_ms = expires_ms};

    assert_int_equal(store_secret_put(s, &p), ERR_OK);
    assert_int_equal(p.existed, existed);
}

static bool found(struct store *s, const char *client, const char *path)
{
    struct secret_look look = {.path = text_of(path)};

    assert_int_equal(store_secrets_look(s, text_of(client), &look, 1), ERR_OK);
    return look.found;
}

/* Asserts what a job gets of a path, NULL: nothing. */
static void assert_takes(struct store *s, const char *client, const char *job, const char *path,
                         const char *value)
{
    struct secret_read read = {.path = text_of(path)};
    struct secret_take take = {
        .client = text_of(client), .job_id = text_of(job), .reads = &read, .n = 1};

    assert_int_equal(store_secrets_take(s, &take), ERR_OK);
    if (value) {
        assert_non_null(read.value);
        assert_int_equal(read.len, strlen(value));
        assert_memory_equal(read.value, value, read.len);
    } else {
        assert_null(read.value);
    }
    mem_wipe(read.value);
}

static void test_secrets(void **state)
{
    struct stores *t = *state;
    char ann[ID_SIZE], bob[ID_SIZE];

    new_id(ann);
    new_id(bob);
    assert_true(t->a->has_secrets);
    put(t->a, ann, "a/b", "one", false, 0, false);
    put(t->b, ann, "a/b", "two", false, store_now_ms(t->a) + 60000, true);
    put(t->b, ann, "old", "old", false, store_now_ms(t->a) - 1000, false);
    put(t->a, ann, "old", "old", false, store_now_ms(t->a) - 1000, false);
    assert_true(found(t->a, ann, "a/b"));
    assert_false(found(t->a, bob, "a/b"));
    assert_false(found(t->a, ann, "a"));
    assert_false(found(t->b, ann, "old"));
    assert_takes(t->a, ann, "job", "a/b", "two");
    assert_takes(t->b, ann, "job", "a/b", "two");
    assert_takes(t->b, ann, "job", "old", NULL);
    assert_takes(t->a, bob, "job", "a/b", NULL);
    assert_int_equal(store_secret_delete(t->b, text_of(ann), text_of("a/b")), ERR_OK);
    assert_int_equal(store_secret_delete(t->b, text_of(ann), text_of("a/b")), ERR_OK);
    assert_false(found(t->a, ann, "a/b"));
}

static void test_single_use(void **state)
{
    struct stores *t = *state;
    char ann[ID_SIZE], one[ID_SIZE], two[ID_SIZE];

    new_id(ann);
    new_id(one);
    new_id(two);
    put(t->a, ann, "once", "first", true, 0, false);
    assert_takes(t->a, ann, one, "once", "first");
    assert_takes(t->b, ann, two, "once", NULL);
    assert_takes(t->b, ann, one, "once", "first");
    assert_false(found(t->a, ann, "once"));
    put(t->b, ann, "once", "second", true, 0, false);
    assert_takes(t->a, ann, one, "once", "first");
    assert_takes(t->a, ann, two, "once", "second");
    assert_int_equal(store_secret_delete(t->b, text_of(ann), text_of("once")), ERR_OK);
    assert_takes(t->a, ann, one, "once", NULL);
    assert_takes(t->a, ann, two, "once", NULL);
}

/* A waiting job keeps its secret. (Of one that is over, test_secrets.py: MongoDB waits a while.) */
static void test_sweep(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], job[ID_SIZE], ann[ID_SIZE];
    bool more = true;

    new_id(queue);
    new_id(ann);
    add_job(t->a, queue, NULL, job);
    put(t->a, ann, "once", "value", true, 0, false);
    assert_takes(t->a, ann, job, "once", "value");
    assert_int_equal(store_secrets_sweep(t->b, &more), ERR_OK);
    assert_false(more);
    assert_takes(t->b, ann, job, "once", "value");
}

static void test_clients_end(void **state)
{
    struct stores *t = *state;
    char ann[ID_SIZE];
    int64_t ended = 0;

    new_id(ann);
    json_t *fields = json_of("{'role': 'contributor'}");
    struct client_put p = {.client_id = text_of(ann), .fields = fields, .create = true};
    assert_int_equal(store_client_put(t->a, &p), ERR_OK);
    json_decref(fields);
    put(t->a, ann, "mine", "value", false, 0, false);
    assert_int_equal(store_client_delete(t->b, text_of(ann), &ended), ERR_OK);
    assert_false(found(t->a, ann, "mine"));
}

/* What a walk has seen of a client. */
struct seen {
    const char *client;
    size_t plain, claimed, faults;
};

static void see(void *arg, const struct secret_shown *s)
{
    struct seen *x = arg;

    if (!text_equal(s->client, text_of(x->client)))
        return;
    assert_true(text_equal(s->path, text_of("a")) || text_equal(s->path, text_of("b")));
    x->claimed += s->claimed;
    x->plain += !s->claimed;
    x->faults += !s->readable;
}

static void test_walk(void **state)
{
    struct stores *t = *state;
    char ann[ID_SIZE];
    struct seen x = {.client = ann};
    int64_t n = -1;

    new_id(ann);
    put(t->a, ann, "a", "value", false, 0, false);
    put(t->a, ann, "b", "value", true, 0, false);
    assert_takes(t->a, ann, "job", "b", "value");
    assert_int_equal(store_secrets_walk(t->b, see, &x), ERR_OK);
    assert_int_equal(x.plain, 1);
    assert_int_equal(x.claimed, 1);
    assert_int_equal(x.faults, 0);
    assert_int_equal(store_secrets_rotate(t->b, &n), ERR_OK);
    assert_int_equal(n, 0);
}

const struct CMUnitTest secrets_suite[] = {
    cmocka_unit_test(test_secrets), cmocka_unit_test(test_single_use),
    cmocka_unit_test(test_sweep),   cmocka_unit_test(test_clients_end),
    cmocka_unit_test(test_walk),
};
SUITE_LEN(secrets);
