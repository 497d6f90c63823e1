/* Jobs in lists, and how many wait in which queue or are with agents. */
#include "tests/store/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_depths(void **state)
{
    enum { JOBS = 40, MAX = 200 };
    struct stores *t = *state;
    struct queue_depth depths[MAX];
    char queue[ID_SIZE], id[ID_SIZE];
    size_t n = 0, found = 0;

    new_id(queue);
    for (int i = 0; i < JOBS; i++)
        add_job(t->a, queue, NULL, id);
    assert_int_equal(store_queue_depths(t->b, NULL, 0, depths, MAX, &n), ERR_OK);
    assert_true(n >= 1 && n <= MAX);
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || depths[i].waiting <= depths[i - 1].waiting);
        if (depths[i].queue_len == strlen(queue) &&
            memcmp(depths[i].queue, queue, depths[i].queue_len) == 0) {
            assert_int_equal(depths[i].waiting, JOBS);
            assert_true(llabs(depths[i].oldest_ms - now_ms()) < 60000);
            found++;
        }
        free(depths[i].queue);
    }
    assert_int_equal(found, 1);
}

/* More queues than the first batch of a cursor has by itself. */
static void test_depths_many(void **state)
{
    enum { QUEUES = 150, MAX = 1000 };
    struct stores *t = *state;
    static struct queue_depth depths[MAX];
    char queue[ID_SIZE], id[ID_SIZE];
    size_t n = 0;

    for (int i = 0; i < QUEUES; i++) {
        new_id(queue);
        add_job(t->a, queue, NULL, id);
    }
    assert_int_equal(store_queue_depths(t->b, NULL, 0, depths, MAX, &n), ERR_OK);
    assert_true(n >= QUEUES);
    for (size_t i = 0; i < n; i++)
        free(depths[i].queue);
}

/* Keeps the ids that come, two at most. */
static bool keep_two(void *arg, struct text name, json_t *job)
{
    char *ids = arg;

    snprintf(ids + strlen(ids), ID_SIZE, "%.*s", (int)name.len, name.s);
    json_decref(job);
    return strlen(ids) < 2 * (ID_SIZE - 1);
}

static void test_next(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], ids[4][ID_SIZE], found[2 * ID_SIZE] = "", wanted[2 * ID_SIZE];

    new_id(queue);
    add_job(t->a, queue, NULL, ids[0]);
    add_job(t->a, queue, NULL, ids[1]);
    add_job_prio(t->a, queue, 5, ids[2]);
    add_job_prio(t->a, queue, 9, ids[3]);
    assert_int_equal(put_result(t->a, ids[3], "{}", "test"), ERR_OK);
    assert_int_equal(store_queue_next(t->b, text_of(queue), 9, keep_two, found), ERR_OK);
    snprintf(wanted, sizeof wanted, "%s%s", ids[2], ids[0]);
    assert_string_equal(found, wanted);
    *found = '\0';
    assert_int_equal(store_queue_next(t->b, text_of(queue), 1, keep_two, found), ERR_OK);
    assert_string_equal(found, ids[2]);
}

struct shown_jobs {
    const struct text *ids;
    json_t **found;
};

static bool keep_shown(void *arg, struct text name, json_t *job)
{
    struct shown_jobs *jobs = arg;

    for (int i = 0; i < 3; i++)
        if (text_equal(name, jobs->ids[i])) {
            assert_null(jobs->found[i]);
            jobs->found[i] = job;
            return true;
        }
    fail_msg("a job that nobody asked for");
    return false;
}

/* A job by its id, with the exit codes of its phases in either form. */
static void test_show(void **state)
{
    struct stores *t = *state;
    char ids[3][ID_SIZE];
    struct text wanted[3];
    json_t *found[3] = {NULL};

    for (int i = 0; i < 3; i++) {
        new_id(ids[i]);
        wanted[i] = text_of(ids[i]);
    }
    add_job(t->a, "q", NULL, ids[0]);
    add_job(t->a, "q", NULL, ids[2]);
    wanted[0] = text_of(ids[0]), wanted[2] = text_of(ids[2]);
    assert_int_equal(put_result(t->a, ids[2],
                                "{\"test_status\": 3, \"status\": {\"setup\": 0, \"x\": 1}, "
                                "\"reserve_status\": null, \"test_output\": \"\\u0000\"}",
                                "complete"),
                     ERR_OK);
    struct shown_jobs jobs = {.ids = wanted, .found = found};
    assert_int_equal(store_jobs_show(t->b, wanted, 3, keep_shown, &jobs), ERR_OK);
    assert_null(found[1]);
    json_t *codes = json_pack("{s:i, s:i}", "setup", 0, "test", 3), *none = json_object();
    assert_true(json_equal(json_object_get(found[0], "status"), none));
    assert_true(json_equal(json_object_get(found[2], "status"), codes));
    assert_string_equal(json_string_value(json_object_get(found[2], "job_state")), "complete");
    json_decref(codes);
    json_decref(none);
    json_decref(found[0]);
    json_decref(found[2]);
}

static int64_t busy_in(struct stores *t, const char *queue, const char *state)
{
    json_t *queues = NULL;

    assert_int_equal(store_queues_busy(t->b, &queues), ERR_OK);
    int64_t n = json_integer_value(json_object_get(json_object_get(queues, queue), state));
    json_decref(queues);
    return n;
}

/* Jobs that wait or are over are not counted. */
static void test_busy(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], ids[4][ID_SIZE];

    new_id(queue);
    for (int i = 0; i < 4; i++)
        add_job(t->a, queue, NULL, ids[i]);
    assert_int_equal(busy_in(t, queue, "waiting"), 0);
    assert_int_equal(put_result(t->a, ids[0], "{}", "test"), ERR_OK);
    assert_int_equal(put_result(t->a, ids[1], "{}", "test"), ERR_OK);
    assert_int_equal(put_result(t->a, ids[2], "{}", "provision"), ERR_OK);
    assert_int_equal(busy_in(t, queue, "test"), 2);
    assert_int_equal(busy_in(t, queue, "provision"), 1);
    assert_int_equal(put_result(t->a, ids[0], "{}", "complete"), ERR_OK);
    assert_int_equal(busy_in(t, queue, "test"), 1);
    assert_int_equal(busy_in(t, queue, "complete"), 0);
}

static void test_depths_of_some(void **state)
{
    struct stores *t = *state;
    char one[ID_SIZE], two[ID_SIZE], none[ID_SIZE], id[ID_SIZE];
    struct queue_depth depths[3];
    size_t n = 9;

    new_id(one);
    new_id(two);
    new_id(none);
    add_job(t->a, one, NULL, id);
    add_job(t->a, two, NULL, id);
    add_job(t->a, two, NULL, id);
    const struct text named[] = {text_of(one), text_of(none), text_of(two)};
    assert_int_equal(store_queue_depths(t->b, named + 1, 1, depths, 3, &n), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(store_queue_depths(t->b, named, 3, depths, 3, &n), ERR_OK);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        bool is_one = strcmp(depths[i].queue, one) == 0;
        assert_string_equal(depths[i].queue, is_one ? one : two);
        assert_int_equal(depths[i].waiting, is_one ? 1 : 2);
        assert_in_range(depths[i].oldest_ms, now_ms() - 60000, now_ms() + 60000);
        free(depths[i].queue);
    }
}

static void test_queue_times(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], taken[ID_SIZE], gone[ID_SIZE], waits[ID_SIZE];
    static struct job_wait found[JOB_WAITS_MAX];
    size_t n = 9;

    new_id(queue);
    assert_int_equal(store_queue_times(t->a, text_of(queue), 0, found, &n), ERR_OK);
    assert_int_equal(n, 0);
    add_job(t->a, queue, NULL, taken);
    assert_next(t->a, queue, taken);
    add_job(t->a, queue, NULL, gone);
    assert_int_equal(cancel_job(t->a, gone), ERR_OK);
    usleep(2000); /* the order of those of one millisecond is not defined */
    add_job(t->a, queue, NULL, waits);
    assert_int_equal(store_queue_times(t->b, text_of(queue), now_ms() - 60000, found, &n), ERR_OK);
    assert_int_equal(n, 3);
    assert_int_equal(found[0].left_ms, 0);
    for (size_t i = 0; i < n; i++) {
        assert_in_range(found[i].created_ms, now_ms() - 60000, now_ms() + 60000);
        if (i)
            /* a new measurement of mongod's clock may tell a bit less than the one before */
            assert_in_range(found[i].left_ms, found[i].created_ms - 100, now_ms() + 60000);
    }
    assert_int_equal(store_queue_times(t->b, text_of(queue), now_ms() + 60000, found, &n), ERR_OK);
    assert_int_equal(n, 0);
}

/* Compares the ids in a list of jobs with those that were submitted. */
struct ids {
    char (*ids)[ID_SIZE];
    size_t n, end; /* seen so far; at the end of the page */
};

static bool next_id(void *arg, struct text name, json_t *value)
{
    struct ids *ids = arg;

    (void)name;
    if (ids->n == ids->end) {
        json_decref(value);
        return false;
    }
    assert_string_equal(json_string_value(json_object_get(value, "job_id")), ids->ids[ids->n++]);
    json_decref(value);
    return true;
}

static void test_lists_of_jobs(void **state)
{
    enum { JOBS = 5, PAGE = 3 };
    struct stores *t = *state;
    char queue[ID_SIZE], after[LIST_CURSOR_SIZE], more[80], jobs[JOBS][ID_SIZE];
    struct ids ids = {.ids = jobs};

    new_id(queue);
    snprintf(more, sizeof more, "'tags': ['%s']", queue);
    for (int i = 0; i < JOBS; i++) {
        add_job(t->a, queue, more, jobs[i]);
        usleep(2000); /* the order of those of one millisecond is not defined */
    }
    json_t *tags = json_pack("[s]", queue);
    struct job_search search = {.tags = tags, .which = SEARCH_ACTIVE};
    for (int by_tag = 0; by_tag < 2; by_tag++) {
        struct list_page page = {.limit = PAGE, .take = next_id, .arg = &ids};
        ids.n = 0;
        for (int rest = JOBS; rest > 0; rest -= PAGE) {
            ids.end = ids.n + PAGE;
            assert_int_equal(by_tag ? store_jobs_search(t->b, &search, &page)
                                    : store_queue_jobs(t->b, text_of(queue), &page),
                             ERR_OK);
            assert_int_equal(ids.n, rest > PAGE ? PAGE : JOBS);
            assert_int_equal(*page.next != '\0', rest > PAGE);
            snprintf(after, sizeof after, "%s", page.next);
            page.after = after;
        }
    }
    json_decref(tags);
}

/* Keeps the ids of a list, newest first, joined by blanks. */
static bool join_id(void *arg, struct text name, json_t *value)
{
    char *ids = arg;

    assert_int_equal(name.len, ID_SIZE - 1);
    assert_int_equal(json_object_size(value), 13);
    snprintf(ids + strlen(ids), ID_SIZE + 1, "%s ", name.s);
    json_decref(value);
    return true;
}

/* A page of one id. */
struct one {
    char id[ID_SIZE];
    bool full;
};

static bool take_one(void *arg, struct text name, json_t *value)
{
    struct one *one = arg;
    bool was_full = one->full;

    json_decref(value);
    if (!was_full)
        snprintf(one->id, sizeof one->id, "%s", name.s);
    one->full = true;
    return !was_full;
}

/* Oldest first, one by one, and from the last one's place back. */
static void assert_both_ways(struct store *s, struct job_filter f, const char *new, const char *old)
{
    const char *const wanted[] = {old, new, old};
    struct list_page page = {.limit = 1, .up = true, .take = take_one};
    char after[LIST_CURSOR_SIZE];

    f.until_ms = now_ms() + 60000;
    for (int i = 0; i < 3; i++) {
        struct one one = {.full = false};
        page.arg = &one;
        assert_int_equal(store_jobs_list(s, &f, &page), ERR_OK);
        assert_string_equal(one.id, wanted[i]);
        assert_int_equal(*page.next != '\0', i == 0);
        page.up = i == 0;
        snprintf(after, sizeof after, "%s", i == 0 ? page.next : page.first);
        page.after = after;
    }
}

static void assert_listed(struct store *s, struct job_filter f, const char *first,
                          const char *second)
{
    char found[4 * ID_SIZE] = "", wanted[4 * ID_SIZE];
    struct list_page page = {.limit = 3, .take = join_id, .arg = found};

    f.until_ms = now_ms() + 60000;
    assert_int_equal(store_jobs_list(s, &f, &page), ERR_OK);
    snprintf(wanted, sizeof wanted, "%s%s%s%s", first, *first ? " " : "", second,
             *second ? " " : "");
    assert_string_equal(found, wanted);
    assert_string_equal(page.next, "");
}

static void test_newest_first(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], old[ID_SIZE], new[ID_SIZE], more[80];
    json_t *none = json_array(), *test = json_of("['test']");

    new_id(queue);
    snprintf(more, sizeof more, "'tags': ['%s', 'a\\u0000b']", queue);
    add_job(t->a, queue, more, old);
    usleep(2000); /* the order of those of one millisecond is not defined */
    add_job(t->a, queue, more, new);
    json_t *tags = json_pack("[s, s#]", queue, "a\0b", 3), *other = json_pack("[s, s]", queue, "a");
    const struct job_filter here = {.tags = none, .queue = text_of(queue)};
    assert_listed(t->b, here, new, old);
    assert_listed(t->b, (struct job_filter){.tags = tags}, new, old);
    assert_both_ways(t->b, here, new, old);
    assert_both_ways(t->b, (struct job_filter){.tags = tags}, new, old);
    assert_both_ways(t->b,
                     (struct job_filter){.tags = none, .which = SEARCH_ACTIVE, .queue = here.queue},
                     new, old);
    assert_listed(t->b, (struct job_filter){.tags = other}, "", "");
    assert_next(t->a, queue, old);
    assert_int_equal(put_result(t->a, old, "{}", "test"), ERR_OK);
    struct job_filter f = here;
    f.which = SEARCH_LISTED;
    f.states = test;
    assert_listed(t->b, f, old, "");
    f.which = SEARCH_ACTIVE;
    assert_listed(t->b, f, new, old);
    f.agent = text_of("nobody");
    assert_listed(t->b, f, "", "");
    assert_both_ways(t->b, here, new, old);
    struct list_page page = {.limit = 1, .after = "1-x", .take = join_id};
    assert_int_equal(store_jobs_list(t->b, &here, &page), ERR_INVALID);
    json_decref(none);
    json_decref(test);
    json_decref(tags);
    json_decref(other);
}

const struct CMUnitTest lists_suite[] = {
    cmocka_unit_test(test_depths),         cmocka_unit_test(test_depths_many),
    cmocka_unit_test(test_busy),           cmocka_unit_test(test_show),
    cmocka_unit_test(test_next),           cmocka_unit_test(test_lists_of_jobs),
    cmocka_unit_test(test_newest_first),   cmocka_unit_test(test_queue_times),
    cmocka_unit_test(test_depths_of_some),
};
SUITE_LEN(lists);
