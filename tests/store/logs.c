/* Logs: fragments stored once, read by number, taken once; live output seen as fragments. */
#include "tests/store/suite.h"

#include "worker/logs/key.h"

#include <stdio.h>
#include <stdlib.h>

static struct log_fragment fragment(const char *job_id, int64_t number, int phase, struct text text)
{
    struct log_fragment f = {
        .job_id = text_of(job_id), .phase = phase, .number = number, .at_ms = 1000, .text = text};

    log_key(&f);
    return f;
}

static void add(struct store *s, const char *job_id, int64_t number, int phase, const char *text)
{
    struct log_fragment f = fragment(job_id, number, phase, text_of(text));

    assert_int_equal(store_logs_add(s, &f, 1), ERR_OK);
    assert_int_equal(f.err, ERR_OK);
}

/* What a read gives, as "PHASE.NUMBER:TEXT ...". */
struct seen {
    char text[1024];
    int64_t at_ms; /* of the last */
    size_t left;   /* how many are wanted */
};

static bool see(void *arg, const struct log_piece *p)
{
    struct seen *s = arg;
    size_t used = strlen(s->text);

    snprintf(s->text + used, sizeof s->text - used, "%s%d.%d:%.*s", used ? " " : "", p->phase,
             (int)p->number, (int)p->text.len, p->text.s);
    s->at_ms = p->at_ms;
    return --s->left > 0;
}

static void assert_read(struct store *s, const struct log_read *what, size_t most, const char *text)
{
    struct seen seen = {.left = most};
    struct log_read read = *what;

    read.take = see;
    read.arg = &seen;
    assert_int_equal(store_logs_read(s, &read), ERR_OK);
    assert_string_equal(seen.text, text);
}

static void assert_look(struct store *s, const char *job_id, int64_t count, int64_t last)
{
    struct log_look looks[] = {{.job_id = text_of("none")}, {.job_id = text_of(job_id)}};

    assert_int_equal(store_logs_look(s, looks, 2), ERR_OK);
    assert_int_equal(looks[0].err, ERR_OK);
    assert_int_equal(looks[0].types[0].count, 0);
    assert_int_equal(looks[0].types[0].last, -1);
    assert_int_equal(looks[1].types[OUTPUT_OUTPUT].count, count);
    assert_int_equal(looks[1].types[OUTPUT_OUTPUT].last, last);
    assert_int_equal(looks[1].types[OUTPUT_SERIAL].count, 0);
}

static bool see_size(void *arg, const struct log_piece *p)
{
    struct seen *s = arg;
    size_t used = strlen(s->text);

    assert_null(p->text.s);
    snprintf(s->text + used, sizeof s->text - used, "%s%d.%d:%d", used ? " " : "", p->phase,
             (int)p->number, (int)p->text.len);
    return --s->left > 0;
}

static void assert_sizes(struct store *s, const struct log_read *what, bool backwards, size_t most,
                         const char *text)
{
    struct seen seen = {.left = most};
    struct log_read read = *what;

    read.backwards = backwards;
    read.take = see_size;
    read.arg = &seen;
    assert_int_equal(store_logs_sizes(s, &read), ERR_OK);
    assert_string_equal(seen.text, text);
}

/* Both ways, however few are fetched at first. */
static void test_sizes(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    struct log_read all = {.job_id = text_of(id), .phase = -1, .since_ms = INT64_MIN};
    assert_sizes(t->a, &all, true, 9, "");
    add(t->a, id, 0, 0, "a");
    add(t->b, id, 1, 3, "é\n");
    add(t->a, id, 2, 0, "");
    add(t->b, id, 7, 3, "abcd");
    for (all.batch = 0; all.batch < 6; all.batch++) {
        assert_sizes(t->b, &all, false, 9, "0.0:1 3.1:3 0.2:0 3.7:4");
        assert_sizes(t->a, &all, true, 9, "3.7:4 0.2:0 3.1:3 0.0:1");
        assert_sizes(t->a, &all, true, 2, "3.7:4 0.2:0");
        assert_read(t->a, &all, 9, "0.0:a 3.1:é\n 0.2: 3.7:abcd");
    }
    all.start = 1;
    assert_sizes(t->a, &all, true, 9, "3.7:4 0.2:0 3.1:3");
    all.phase = 3;
    assert_sizes(t->b, &all, true, 9, "3.7:4 3.1:3");
    assert_sizes(t->b, &all, false, 9, "3.1:3 3.7:4");
}

/* Of one number, more than a reader fetches at first. */
static void test_sizes_of_one_number(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], text[8];

    new_id(id);
    struct log_read all = {.job_id = text_of(id), .phase = -1, .since_ms = INT64_MIN, .batch = 1};
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "%02d", i);
        add(t->a, id, 3, 1, text);
    }
    add(t->a, id, 2, 1, "z");
    struct seen seen = {.left = 21};
    all.take = see;
    all.arg = &seen;
    assert_int_equal(store_logs_read(t->a, &all), ERR_OK);
    assert_int_equal(seen.left, 0);
    assert_sizes(t->a, &all, true, 21,
                 "1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 "
                 "1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.3:2 1.2:1");
}

static void test_read(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    struct log_read all = {.job_id = text_of(id), .phase = -1, .since_ms = INT64_MIN};
    assert_read(t->a, &all, 9, "");
    assert_look(t->a, id, 0, -1);
    add(t->a, id, 2, 3, "c");
    add(t->b, id, -1, 0, "no");
    add(t->a, id, 0, 0, "a");
    add(t->b, id, 1, 0, "");
    add(t->b, id, 5, 6, "f");
    assert_read(t->b, &all, 9, "0.0:a 0.1: 3.2:c 6.5:f");
    assert_read(t->b, &all, 2, "0.0:a 0.1:");
    all.start = 2;
    assert_read(t->b, &all, 9, "3.2:c 6.5:f");
    all.phase = 6;
    assert_read(t->b, &all, 9, "6.5:f");
    all.since_ms = 1000;
    assert_read(t->b, &all, 9, "6.5:f");
    all.since_ms = 1001;
    assert_read(t->b, &all, 9, "");
    assert_look(t->b, id, 4, 5);
    struct log_numbers n = {.job_id = text_of(id), .start = 1};
    assert_int_equal(store_logs_numbers(t->a, &n), ERR_OK);
    assert_int_equal(n.len, 3);
    assert_int_equal(n.numbers[0].number, 1);
    assert_int_equal(n.numbers[1].phase, 3);
    assert_int_equal(n.numbers[2].number, 5);
    free(n.numbers);
}

/* One that comes twice, also within one call, is stored once. */
static void test_once(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    struct log_fragment f[] = {fragment(id, 0, 0, text_of("a")), fragment(id, 0, 0, text_of("a")),
                               fragment(id, 0, 0, text_of("b")), fragment(id, 0, 1, text_of("a")),
                               fragment(id, 1, 0, text_of("a"))};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_logs_add(i ? t->b : t->a, f, 5), ERR_OK);
        for (int k = 0; k < 5; k++)
            assert_int_equal(f[k].err, ERR_OK);
        assert_look(t->a, id, 4, 1);
    }
}

static void assert_entries(struct store *s, const char *job_id, size_t max, bool peek,
                           const char *text)
{
    json_t *entries = json_array();
    enum err e = take_live(store_logs_take, s, job_id, OUTPUT_OUTPUT, max, peek, entries);

    assert_int_equal(e, strcmp(text, "[]") ? ERR_OK : ERR_NOT_FOUND);
    assert_json(entries, text);
    json_decref(entries);
}

static void test_take(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE];

    new_id(id);
    assert_entries(t->a, id, 100, false, "[]");
    add(t->a, id, 1, 0, "bb");
    add(t->a, id, 0, 0, "aa");
    add(t->a, id, -1, 0, "no");
    add(t->a, id, 1, 1, "cc");
    assert_entries(t->b, id, 100, true, "['aa', 'bb', 'cc']");
    assert_entries(t->b, id, 2, false, "[]");
    assert_entries(t->b, id, 6, false, "['aa', 'bb']");
    add(t->a, id, 0, 0, "aa");
    add(t->a, id, 0, 0, "dd");
    assert_entries(t->a, id, 100, false, "['dd', 'cc']");
    assert_entries(t->b, id, 100, false, "[]");
    assert_look(t->a, id, 4, 1);
}

/* More than one batch holds, with many of one number where one ends. */
static void test_many(void **state)
{
    enum { N = 40, SIZE = 512 * 1024 };
    struct stores *t = *state;
    char id[ID_SIZE], *big = long_text('x', SIZE);
    json_t *entries = json_array();

    new_id(id);
    for (int i = 0; i < N; i++) {
        big[0] = (char)('A' + i % 26);
        big[1] = (char)('A' + i / 26);
        struct log_fragment f = fragment(id, i / 10, i % 7, (struct text){big, SIZE});
        assert_int_equal(store_logs_add(t->a, &f, 1), ERR_OK);
        assert_int_equal(f.err, ERR_OK);
    }
    struct log_read all = {.job_id = text_of(id), .phase = -1, .since_ms = INT64_MIN, .take = see};
    struct seen seen = {.left = N + 1};
    all.arg = &seen;
    assert_int_equal(store_logs_read(t->b, &all), ERR_OK);
    assert_int_equal(seen.left, 1);
    assert_int_equal(take_live(store_logs_take, t->b, id, OUTPUT_OUTPUT, 10 * SIZE, false, entries),
                     ERR_OK);
    assert_int_equal(json_array_size(entries), 9);
    json_array_clear(entries);
    assert_int_equal(
        take_live(store_logs_take, t->b, id, OUTPUT_OUTPUT, STORE_DOCUMENT_MAX, false, entries),
        ERR_OK);
    assert_true(json_array_size(entries) > 21);
    json_decref(entries);
    free(big);
}

/* More than a look counts by itself. */
static void test_look_at_many(void **state)
{
    enum { N = 700 };
    struct stores *t = *state;
    static struct log_fragment f[N];
    char id[ID_SIZE], other[ID_SIZE];

    new_id(id);
    new_id(other);
    for (int i = 0; i < N; i++) {
        f[i] = fragment(id, i, i % 7, text_of("x"));
        f[i].type = i % 10 ? OUTPUT_OUTPUT : OUTPUT_SERIAL;
        log_key(&f[i]);
    }
    assert_int_equal(store_group_begin(t->a), ERR_OK);
    assert_int_equal(store_logs_add(t->a, f, N), ERR_OK);
    assert_int_equal(store_group_commit(t->a), ERR_OK);
    add(t->a, other, 3, 0, "y");
    struct log_look looks[] = {{.job_id = text_of(other)}, {.job_id = text_of(id)}};
    assert_int_equal(store_logs_look(t->b, looks, 2), ERR_OK);
    assert_int_equal(looks[0].types[OUTPUT_OUTPUT].count, 1);
    assert_int_equal(looks[0].types[OUTPUT_OUTPUT].last, 3);
    assert_int_equal(looks[1].types[OUTPUT_OUTPUT].count, N - N / 10);
    assert_int_equal(looks[1].types[OUTPUT_OUTPUT].last, N - 1);
    assert_int_equal(looks[1].types[OUTPUT_SERIAL].count, N / 10);
    assert_int_equal(looks[1].types[OUTPUT_SERIAL].last, N - 10);
}

/* More jobs than the first batch of a cursor has by itself, with more fragments than a look counts
 * by itself. */
static void test_look_at_many_jobs(void **state)
{
    enum { JOBS = 150, EACH = 4 };
    struct stores *t = *state;
    static struct log_fragment f[JOBS * EACH];
    static char ids[JOBS][ID_SIZE];
    struct log_look looks[JOBS];

    for (int i = 0; i < JOBS; i++) {
        new_id(ids[i]);
        looks[i] = (struct log_look){.job_id = text_of(ids[i])};
        for (int k = 0; k < EACH; k++) {
            f[i * EACH + k] = fragment(ids[i], k, 0, text_of("x"));
            log_key(&f[i * EACH + k]);
        }
    }
    assert_int_equal(store_group_begin(t->a), ERR_OK);
    assert_int_equal(store_logs_add(t->a, f, JOBS * EACH), ERR_OK);
    assert_int_equal(store_group_commit(t->a), ERR_OK);
    assert_int_equal(store_logs_look(t->b, looks, JOBS), ERR_OK);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(looks[i].types[OUTPUT_OUTPUT].count, EACH);
        assert_int_equal(looks[i].types[OUTPUT_OUTPUT].last, EACH - 1);
    }
}

static void assert_view(struct store *s, const char *job_id, size_t most, const char *text)
{
    struct seen seen = {.left = most};

    assert_int_equal(store_output_view(s, text_of(job_id), OUTPUT_OUTPUT, see, &seen), ERR_OK);
    assert_string_equal(seen.text, text);
    if (*text)
        assert_true(seen.at_ms > 1600000000000);
}

static void test_view(void **state)
{
    struct stores *t = *state;
    char id[ID_SIZE], request[ID_SIZE];
    json_t *entries = json_array();

    new_id(id);
    assert_view(t->a, id, 9, "");
    for (int i = 0; i < 2; i++) {
        new_id(request);
        struct output_append a = {
            .asked = asked_now(request), .job_id = text_of(id), .text = text_of(i ? "b" : "a")};
        assert_int_equal(append_one(t->a, &a), ERR_OK);
    }
    assert_view(t->b, id, 9, "0.0:a 0.1:b");
    assert_view(t->b, id, 1, "0.0:a");
    assert_int_equal(
        take_live(store_output_take, t->a, id, OUTPUT_OUTPUT, STORE_DOCUMENT_MAX, false, entries),
        ERR_OK);
    assert_view(t->b, id, 9, "");
    json_decref(entries);
}

const struct CMUnitTest logs_suite[] = {
    cmocka_unit_test(test_read),
    cmocka_unit_test(test_once),
    cmocka_unit_test(test_take),
    cmocka_unit_test(test_many),
    cmocka_unit_test(test_look_at_many),
    cmocka_unit_test(test_look_at_many_jobs),
    cmocka_unit_test(test_view),
    cmocka_unit_test(test_sizes),
    cmocka_unit_test(test_sizes_of_one_number),
};
SUITE_LEN(logs);
