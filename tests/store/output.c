/* Live output: appended, read once, in pieces that fit an answer. */
#include "tests/store/suite.h"

#include <pthread.h>
#include <stdlib.h>

static enum err append(struct store *s, const char *job_id, enum output_type type, struct text text)
{
    char request[ID_SIZE];

    new_id(request);
    struct output_append a = {
        .asked = asked_now(request), .job_id = text_of(job_id), .type = type, .text = text};
    return append_one(s, &a);
}

/* Asserts what a read gives; text NULL: nothing. */
static void assert_taken(struct store *s, const char *job_id, enum output_type type, bool peek,
                         const char *text)
{
    json_t *entries = json_array();
    enum err e = take_live(store_output_take, s, job_id, type, STORE_DOCUMENT_MAX, peek, entries);

    assert_int_equal(e, text ? ERR_OK : ERR_NOT_FOUND);
    if (text)
        assert_json(entries, text);
    json_decref(entries);
}

static void test_taken_once(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, NULL);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("one\n")), ERR_OK);
    assert_int_equal(append(t->b, id, OUTPUT_OUTPUT, text_of("")), ERR_OK);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, (struct text){"a\0b\xc3\xa9", 5}), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, true, "['one\\n', '', 'a\\u0000b\\u00e9']");
    assert_taken(t->b, id, OUTPUT_OUTPUT, false, "['one\\n', '', 'a\\u0000b\\u00e9']");
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, NULL);
    assert_taken(t->a, id, OUTPUT_OUTPUT, true, NULL);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("more")), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['more']");
}

static void test_an_empty_entry_is_one(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("")), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['']");
}

static void test_kinds_and_jobs_are_apart(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], other[ID_SIZE];

    new_id(id);
    new_id(other);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("o")), ERR_OK);
    assert_int_equal(append(t->a, id, OUTPUT_SERIAL, text_of("s")), ERR_OK);
    assert_int_equal(append(t->a, other, OUTPUT_OUTPUT, text_of("x")), ERR_OK);
    assert_taken(t->a, other, OUTPUT_SERIAL, false, NULL);
    assert_taken(t->a, id, OUTPUT_SERIAL, false, "['s']");
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['o']");
    assert_taken(t->a, other, OUTPUT_OUTPUT, false, "['x']");
}

static void test_repeat(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], request[ID_SIZE];

    new_id(id);
    new_id(request);
    struct output_append a = {
        .asked = asked_now(request), .job_id = text_of(id), .text = text_of("x")};
    assert_int_equal(append_one(t->a, &a), ERR_OK);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("x")), ERR_OK);
    a.asked.repeat = true;
    assert_int_equal(append_one(t->b, &a), ERR_OK);
    a.type = OUTPUT_SERIAL; /* its first try was lost */
    assert_int_equal(append_one(t->b, &a), ERR_OK);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, "['x', 'x']");
    assert_taken(t->a, id, OUTPUT_SERIAL, false, "['x']");
}

/* Takes as a request does once more; what it gets is `text`, NULL: nothing. */
static void assert_request_takes(struct store *s, const char *request, bool repeat,
                                 const char *job_id, const char *text)
{
    struct live_take t = {.asked = asked_now(request),
                          .job_id = text_of(job_id),
                          .max = STORE_DOCUMENT_MAX,
                          .entries = json_array()};

    t.asked.repeat = repeat;
    assert_int_equal(store_output_take(s, &t), text ? ERR_OK : ERR_NOT_FOUND);
    assert_json(t.entries, text ? text : "[]");
    json_decref(t.entries);
}

/* A request gets what it took once more, and that alone, until another one takes. */
static void test_repeated_take(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], first[ID_SIZE], second[ID_SIZE];

    new_id(id);
    new_id(first);
    new_id(second);
    assert_request_takes(t->a, first, false, id, NULL);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("a")), ERR_OK);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("b")), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_request_takes(i % 2 ? t->b : t->a, first, i == 1, id, "['a', 'b']");
        assert_taken(t->a, id, OUTPUT_OUTPUT, true, i ? "['c']" : NULL);
        if (i == 0)
            assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("c")), ERR_OK);
    }
    assert_request_takes(t->b, second, false, id, "['c']");
    assert_request_takes(t->a, first, true, id, NULL);
    assert_request_takes(t->a, second, true, id, "['c']");
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, NULL);
}

/* A post whose text was taken meanwhile is not appended again. */
static void test_repeat_of_what_was_taken(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], request[ID_SIZE];

    new_id(id);
    new_id(request);
    struct output_append a = {
        .asked = asked_now(request), .job_id = text_of(id), .text = text_of("x")};
    for (int i = 0; i < 4; i++) {
        a.asked.repeat = i == 2;
        assert_int_equal(append_one(t->a, &a), ERR_OK);
        assert_int_equal(append(t->b, id, OUTPUT_OUTPUT, text_of("y")), ERR_OK);
        assert_taken(t->b, id, OUTPUT_OUTPUT, false, i ? "['y']" : "['x', 'y']");
    }
}

/* More documents than one go takes. */
static void test_more_than_one_go_takes(void **state)
{
    enum { N = 10500, SOME = 500 };
    struct stores *t = *state;
    char id[ID_SIZE], request[ID_SIZE];
    static struct output_append a[SOME];
    static char requests[SOME][ID_SIZE];

    new_id(id);
    new_id(request);
    for (int i = 0; i < N; i += SOME) {
        for (int k = 0; k < SOME; k++) {
            new_id(requests[k]);
            a[k] = (struct output_append){
                .asked = asked_now(requests[k]), .job_id = text_of(id), .text = text_of("x")};
        }
        assert_int_equal(store_group_begin(t->a), ERR_OK);
        assert_int_equal(store_outputs_append(t->a, a, SOME), ERR_OK);
        assert_int_equal(store_group_commit(t->a), ERR_OK);
    }
    for (int i = 0; i < 2; i++) {
        struct live_take take = {.asked = asked_now(request),
                                 .job_id = text_of(id),
                                 .max = STORE_DOCUMENT_MAX,
                                 .entries = json_array()};
        assert_int_equal(store_output_take(t->b, &take), ERR_OK);
        assert_int_equal(json_array_size(take.entries), N);
        json_decref(take.entries);
    }
}

static size_t take_size(struct store *s, const char *job_id, size_t *ret_entries)
{
    json_t *entries = json_array(), *entry;
    size_t size = 0, i;

    assert_int_equal(
        take_live(store_output_take, s, job_id, OUTPUT_OUTPUT, STORE_DOCUMENT_MAX, false, entries),
        ERR_OK);
    json_array_foreach (entries, i, entry)
        size += json_string_length(entry);
    *ret_entries = json_array_size(entries);
    json_decref(entries);
    return size;
}

/* More than one answer holds comes with several reads, nothing twice, nothing lost. */
static void test_more_than_fits(void **state)
{
    enum { N = 5 };
    struct stores *t = *state;
    char id[ID_SIZE], *big = long_text('x', 7 * MIB);
    size_t size = 0, entries = 0, some;

    new_id(id);
    for (int i = 0; i < N; i++)
        assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, (struct text){big, 7 * MIB}), ERR_OK);
    while (entries < N) {
        size_t now = take_size(t->b, id, &some);
        assert_true(now + some <= STORE_DOCUMENT_MAX);
        size += now;
        entries += some;
    }
    assert_int_equal(size, N * 7 * MIB);
    assert_int_equal(entries, N);
    assert_taken(t->a, id, OUTPUT_OUTPUT, false, NULL);
    free(big);
}

static void test_too_large(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], *big = long_text('x', STORE_DOCUMENT_MAX);
    struct text too_large = {big, STORE_DOCUMENT_MAX}, large = {big, STORE_DOCUMENT_MAX - MIB};
    size_t entries;

    new_id(id);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, too_large), ERR_TOO_LARGE);
    assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, large), ERR_OK);
    assert_int_equal(take_size(t->a, id, &entries), large.len);
    assert_int_equal(entries, 1);
    free(big);
}

static void test_many_entries(void **state)
{
    enum { N = 300 };
    struct stores *t = *state;
    char id[ID_SIZE];
    size_t entries;

    new_id(id);
    for (int i = 0; i < N; i++)
        assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("line\n")), ERR_OK);
    assert_int_equal(take_size(t->a, id, &entries), N * 5);
    assert_int_equal(entries, N);
}

/* A reader in a thread of its own. */
struct reader {
    struct store *s;
    const char *job_id;
    size_t want, *found; /* both readers */
    size_t mine;
    pthread_mutex_t *mutex;
};

static bool is_done(const struct reader *r)
{
    pthread_mutex_lock(r->mutex);
    bool done = *r->found >= r->want;
    pthread_mutex_unlock(r->mutex);
    return done;
}

/* Takes a few entries at a time until all are found, at most 200 times. */
static void *read_all(void *arg)
{
    struct reader *r = arg;

    for (int i = 0; i < 200 && !is_done(r); i++) {
        json_t *entries = json_array();
        enum err e =
            take_live(store_output_take, r->s, r->job_id, OUTPUT_OUTPUT, 20, false, entries);
        size_t n = e ? 0 : json_array_size(entries);
        json_decref(entries);
        r->mine += n;
        pthread_mutex_lock(r->mutex);
        *r->found += n;
        pthread_mutex_unlock(r->mutex);
    }
    return NULL;
}

/* Each entry goes to one of two readers at a time, also where both want the same ones. */
static void test_two_readers(void **state)
{
    enum { N = 100, ROUNDS = 5 };
    struct stores *t = *state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    char id[ID_SIZE];

    for (int round = 0; round < ROUNDS; round++) {
        size_t found = 0;
        struct reader readers[] = {{t->a, id, N, &found, 0, &mutex},
                                   {t->b, id, N, &found, 0, &mutex}};
        pthread_t other;
        new_id(id);
        for (int i = 0; i < N; i++)
            assert_int_equal(append(t->a, id, OUTPUT_OUTPUT, text_of("x")), ERR_OK);
        assert_int_equal(pthread_create(&other, NULL, read_all, &readers[1]), 0);
        read_all(&readers[0]);
        assert_int_equal(pthread_join(other, NULL), 0);
        assert_int_equal(found, N);
    }
}

const struct CMUnitTest output_suite[] = {
    cmocka_unit_test(test_taken_once),
    cmocka_unit_test(test_an_empty_entry_is_one),
    cmocka_unit_test(test_kinds_and_jobs_are_apart),
    cmocka_unit_test(test_repeat),
    cmocka_unit_test(test_repeated_take),
    cmocka_unit_test(test_repeat_of_what_was_taken),
    cmocka_unit_test(test_more_than_one_go_takes),
    cmocka_unit_test(test_more_than_fits),
    cmocka_unit_test(test_too_large),
    cmocka_unit_test(test_many_entries),
    cmocka_unit_test(test_two_readers),
};
SUITE_LEN(output);
