/* What is known of queues and agents, the depths of queues, whose turn it is to sweep, and who has
 * which job. */
#include "tests/store/suite.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    return clock_wall_us() / 1000;
}

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
            assert_in_range(found[i].left_ms, found[i].created_ms, now_ms() + 60000);
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
    cmocka_unit_test(test_descriptions),   cmocka_unit_test(test_images),
    cmocka_unit_test(test_agents),         cmocka_unit_test(test_provision_log),
    cmocka_unit_test(test_agent_view),     cmocka_unit_test(test_wait_times),
    cmocka_unit_test(test_depths),         cmocka_unit_test(test_depths_many),
    cmocka_unit_test(test_busy),           cmocka_unit_test(test_show),
    cmocka_unit_test(test_next),           cmocka_unit_test(test_turn),
    cmocka_unit_test(test_holders),        cmocka_unit_test(test_unfit),
    cmocka_unit_test(test_lists_of_jobs),  cmocka_unit_test(test_overdue_claims),
    cmocka_unit_test(test_newest_first),   cmocka_unit_test(test_queue_times),
    cmocka_unit_test(test_depths_of_some), cmocka_unit_test(test_holds),
};
SUITE_LEN(directory);
