/* How SQLite finds what the statements ask for: by indexes, and with 100,000 jobs in no more steps
 * than with few. */
#include "tests/store/suite.h"
#include "worker/store/sqlite/sqlite.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct config cfg = {.store_timeout = 10000, .sqlite_sync = STORE_SYNC_NORMAL};

#define PAGE_LEN 10

static char path[64];

static struct store *open_store(void)
{
    struct store *s = NULL;
    char uri[96];

    snprintf(uri, sizeof uri, "sqlite:%s", path);
    assert_int_equal(store_open(uri, &cfg, &s), ERR_OK);
    return s;
}

static int make_file(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/tf-plans-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || close(fd);
}

static int remove_file(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[96];

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    return 0;
}

/* ---- the plan of each statement ---- */

static const struct {
    const char *name, *text;
} statements[] = {
#define SQL(name, text) {#name, text},
#include "worker/store/sqlite/statements.def"
#undef SQL
};

/* What may look through a table or sort: it begins so in the plan, and the reason. */
static const struct {
    const char *statement, *detail, *reason;
} allowed[] = {
    {"SQL_PING", "SCAN sqlite_schema", "one row"},
    {"SQL_QUEUE_DEPTHS", "SCAN jobs USING INDEX jobs_waiting",
     "a scrape of the metrics counts what waits, by the index of just that"},
    {"SQL_QUEUE_DEPTHS", "USE TEMP B-TREE FOR ORDER BY", "a row a queue"},
    {"SQL_QUEUES_BUSY", "SCAN s", "a row a state that there is"},
    {"SQL_QUEUES_BUSY", "SCAN (subquery", "jobs that agents have"},
    {"SQL_QUEUES_BUSY", "USE TEMP B-TREE FOR GROUP BY", "likewise"},
    {"SQL_SECRET_KEYS", "SCAN secret_keys", "one row, or a few after a change of keys"},
    {"SQL_SECRETS_WALK", "SCAN secrets USING INDEX", "the admin tool lists all"},
    {"SQL_CLAIM_OVERDUE", "SCAN jobs USING INDEX jobs_open",
     "the index holds only claims on their way to their agents"},
    {"SQL_AGENTS_SILENT_COUNT", "SCAN agents_heard USING INDEX agents_heard_silent",
     "a scrape of the metrics counts them, by the index of just that"},
    {"SQL_EVENT_SAME", "USE TEMP B-TREE FOR ORDER BY", "events of one job and receiver"},
    {"SQL_CLIENTS", "SCAN clients", "lists all"},
    {"SQL_RESTRICTED_LIST", "SCAN r", "lists all"},
    {"SQL_REFRESH_LIST", "SCAN refresh_tokens", "lists all, for the admin tool"},
    {"SQL_AUDIT_LIST", "SCAN audit USING INDEX", "newest first; 100,000 entries are kept"},
    {"SQL_QUEUES", "SCAN queues", "lists all"},
    {"SQL_AGENTS", "SCAN a USING INDEX sqlite_autoindex_agents_1", "lists all"},
    {"SQL_AGENTS_OF_QUEUE", "USE TEMP B-TREE FOR ORDER BY", "agents of one queue"},
    {"SQL_WAITS_ALL", "SCAN queue_wait_times", "lists all; a bounded number a queue"},
    {"SQL_HOLDS_PURGE", "SCAN holds", "HOLDS_MAX rows at most, when an operator sets one"},
    {"SQL_HOLDS_COUNT", "SCAN holds", "likewise"},
    {"SQL_SEARCH_STATES", "SCAN s", "a row a state that there is"},
    {"SQL_SEARCH_STATES", "USE TEMP B-TREE FOR ORDER BY", "a page a state"},
    {"SQL_LIST_STATES", "SCAN s", "a row a state that there is"},
    {"SQL_LIST_STATES", "USE TEMP B-TREE FOR ORDER BY", "CHUNK jobs a state"},
    {"SQL_LIST_STATES_UP", "SCAN s", "likewise"},
    {"SQL_LIST_STATES_UP", "USE TEMP B-TREE FOR ORDER BY", "likewise"},
    {"SQL_SEARCH_ANY_TAG", "USE TEMP B-TREE FOR ORDER BY", "jobs that have one of the tags"},
    {"SQL_SEARCH_ALL_TAGS", "USE TEMP B-TREE FOR ORDER BY", "likewise"},
    {"SQL_SEARCH_ALL_TAGS", "USE TEMP B-TREE FOR GROUP BY", "likewise"},
    {"SQL_SEARCH_ALL_TAGS", "USE TEMP B-TREE FOR count(DISTINCT)", "the tags of the request"},
};
enum { ALLOWED = sizeof allowed / sizeof *allowed };

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* A step of a plan that grows with a table. */
static bool is_costly(const char *detail)
{
    if (begins(detail, "SCAN json_each") || begins(detail, "SCAN CONSTANT"))
        return false;
    return begins(detail, "SCAN") || begins(detail, "USE TEMP") || strstr(detail, "AUTOMATIC");
}

static void check_step(const char *statement, const char *detail, bool met[ALLOWED])
{
    if (!is_costly(detail))
        return;
    for (size_t i = 0; i < ALLOWED; i++)
        if (strcmp(allowed[i].statement, statement) == 0 && begins(detail, allowed[i].detail)) {
            met[i] = true;
            return;
        }
    fail_msg("%s: %s; it needs an index, or a row with a reason in `allowed`", statement, detail);
}

static void test_plans(void **state)
{
    bool met[ALLOWED] = {false};
    char explain[8192];

    (void)state;
    struct store *s = open_store();
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        sqlite3_stmt *st = NULL;
        int len = snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", statements[i].text);
        assert_in_range(len, 1, sizeof explain - 1);
        if (sqlite3_prepare_v2(sqlite_of(s)->db, explain, -1, &st, NULL) != SQLITE_OK)
            fail_msg("%s: %s", statements[i].name, sqlite3_errmsg(sqlite_of(s)->db));
        while (sqlite3_step(st) == SQLITE_ROW)
            check_step(statements[i].name, (const char *)sqlite3_column_text(st, 3), met);
        sqlite3_finalize(st);
    }
    for (size_t i = 0; i < ALLOWED; i++)
        if (!met[i])
            fail_msg("%s does not %s any more: remove the row (%s)", allowed[i].statement,
                     allowed[i].detail, allowed[i].reason);
    store_close(s);
}

/* ---- steps with 100,000 jobs ---- */

/* Of SQLite's virtual machine, for one statement; a row has some 10 to 20. A search by tags goes
 * through the 100 jobs of the tag. */
#define STEPS_MAX 5000

/* Half of the jobs wait in the queue "big", in the order of their numbers; the others are over, of
 * 50 queues. Every tenth has the tag "often", every 1,000th also the tag "seldom". */
static void fill(struct store *s)
{
    static const char sql[] =
        "BEGIN;"
        "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
        "  WHERE i < 100000) SELECT i FROM n;"
        "INSERT INTO jobs (job_id, queue, priority, created_us, data_size, state)"
        "  SELECT printf('11111111-2222-3333-4444-%012d', i),"
        "  CASE WHEN i % 2 THEN 'big' ELSE 'q' || (i % 50) END, 0, i * 1000000, 20,"
        "  CASE WHEN i % 2 THEN 'waiting' ELSE 'complete' END FROM n;"
        "UPDATE jobs SET owner = 'seldom' WHERE id % 1000 = 0;"
        "INSERT INTO job_data (job, data) SELECT id, CASE WHEN id % 1000 = 0"
        "  THEN json_object('job_queue', queue, 'tags', json_array('often', 'seldom'))"
        "  ELSE json_object('job_queue', queue) END FROM jobs;"
        "INSERT INTO job_tags (tag, created_us, job)"
        "  SELECT 'often', created_us, id FROM jobs WHERE id % 10 = 0;"
        "INSERT INTO job_tags (tag, created_us, job)"
        "  SELECT 'seldom', created_us, id FROM jobs WHERE id % 1000 = 0;"
        "COMMIT";
    char *error = NULL;

    if (sqlite3_exec(sqlite_of(s)->db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
}

/* Fails when a statement of the last calls took too many steps. */
static void check_steps_to(struct store *s, const char *what, int max)
{
    for (size_t i = 0; i < SQL_COUNT_; i++) {
        sqlite3_stmt *st = sqlite_of(s)->statements[i];
        int runs = st ? sqlite3_stmt_status(st, SQLITE_STMTSTATUS_RUN, 1) : 0;
        int steps = st ? sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 1) : 0;
        if (steps > max * (runs ? runs : 1))
            fail_msg("%s: %d steps in %d runs of %s", what, steps, runs, statements[i].text);
    }
}

static void check_steps(struct store *s, const char *what)
{
    check_steps_to(s, what, STEPS_MAX);
}

/* Takes the members of a list up to its limit. */
static bool take(void *arg, struct text name, json_t *value)
{
    json_t *list = arg;

    (void)name;
    if (json_array_size(list) == PAGE_LEN) {
        json_decref(value);
        return false;
    }
    json_array_append_new(list, value);
    return true;
}

/* The numbers of the jobs of one page. */
static void check_page(struct store *s, const struct job_search *search, size_t len, int first)
{
    json_t *jobs = json_array();
    struct list_page page = {.limit = PAGE_LEN, .take = take, .arg = jobs};
    char id[ID_SIZE];

    assert_int_equal(store_jobs_search(s, search, &page), ERR_OK);
    assert_int_equal(json_array_size(jobs), len);
    snprintf(id, sizeof id, "11111111-2222-3333-4444-%012d", first);
    const json_t *found = json_object_get(json_array_get(jobs, 0), "job_id");
    assert_string_equal(json_string_value(found), id);
    json_decref(jobs);
    check_steps(s, "search");
}

static void check_searches(struct store *s)
{
    json_t *none = json_array(), *active = json_of("['test']"), *over = json_of("['complete']");
    json_t *seldom = json_of("['seldom']");

    check_page(s, &(struct job_search){.tags = none}, 10, 1);
    check_page(s, &(struct job_search){.tags = none, .which = SEARCH_ACTIVE}, 10, 1);
    check_page(s, &(struct job_search){.tags = none, .which = SEARCH_LISTED, .states = over}, 10,
               2);
    check_page(s, &(struct job_search){.tags = none, .which = SEARCH_LISTED, .states = active}, 1,
               99999);
    check_page(s, &(struct job_search){.tags = seldom}, 10, 1000);
    check_page(s, &(struct job_search){.tags = seldom, .all_tags = true}, 10, 1000);
    json_decref(none);
    json_decref(active);
    json_decref(over);
    json_decref(seldom);
}

/* Jobs that a list must not look through. */
#define LOOKED_STEPS (20 * LIST_LOOK_MAX)

/* Pages through a list to its end or `pages`, which may be short; each takes few steps. `fits`: its
 * filters have an index. Returns how many jobs it has; *ret_pages: on how many pages. */
static size_t walk(struct store *s, struct job_filter f, bool fits, bool up, int pages,
                   int *ret_pages)
{
    char after[LIST_CURSOR_SIZE];
    struct list_page page = {.limit = PAGE_LEN, .up = up, .take = take};
    size_t found = 0;

    f.until_ms = (int64_t)100001 * 1000;
    for (*ret_pages = 0; *ret_pages < pages; ++*ret_pages) {
        json_t *jobs = json_array();
        page.arg = jobs;
        assert_int_equal(store_jobs_list(s, &f, &page), ERR_OK);
        found += json_array_size(jobs);
        json_decref(jobs);
        check_steps_to(s, "list", fits ? STEPS_MAX : LOOKED_STEPS);
        if (!*page.next)
            break;
        memcpy(after, page.next, sizeof after);
        page.after = after;
    }
    return found;
}

static void check_lists(struct store *s, bool up)
{
    json_t *none = json_array(), *over = json_of("['complete']"), *test = json_of("['test']");
    json_t *seldom = json_of("['seldom']"), *both = json_of("['seldom', 'often']");
    int pages;

#define WALK(fits, most, ...)                                                                      \
    walk(s, (struct job_filter){.tags = none, __VA_ARGS__}, fits, up, most, &pages)
    assert_int_equal(WALK(true, 3, .since_ms = 0), 30);
    assert_int_equal(WALK(true, 3, .queue = text_of("q2")), 30);
    assert_int_equal(WALK(true, 3, .which = SEARCH_ACTIVE), 30);
    assert_int_equal(WALK(true, 3, .which = SEARCH_LISTED, .states = over), 30);
    assert_int_equal(WALK(true, 3, .which = SEARCH_LISTED, .states = test), 1);
    assert_int_equal(WALK(true, 3, .submitter = text_of("nobody")), 0);
    assert_int_equal(WALK(true, 3, .since_ms = (int64_t)99999 * 1000), 2);
    assert_int_equal(walk(s, (struct job_filter){.tags = seldom}, true, up, 99, &pages), 100);
    assert_int_equal(walk(s, (struct job_filter){.tags = both}, true, up, 99, &pages), 100);
    assert_int_equal(WALK(true, 99, .agent = text_of("nobody")), 0);
    assert_int_equal(pages, 0);
    assert_int_equal(WALK(true, 3, .agent = text_of("seldom")), 30);
    assert_int_equal(WALK(false, 99, .queue = text_of("q2"), .which = SEARCH_ACTIVE), 0);
    assert_int_equal(pages, 0);
#undef WALK
    json_decref(none);
    json_decref(over);
    json_decref(test);
    json_decref(seldom);
    json_decref(both);
}

static void check_one_job(struct store *s, const char *id)
{
    struct text job = text_of(id);
    enum attachments wanted;
    json_t *value = NULL;
    int64_t position = -1;

    assert_int_equal(get_job(s, job, &value), ERR_OK);
    json_decref(value);
    check_steps(s, "read");
    assert_int_equal(
        store_job_position(s, text_of("11111111-2222-3333-4444-000000000009"), &position), ERR_OK);
    assert_int_equal(position, 3);
    check_steps(s, "position");
    assert_int_equal(store_attachments_look(s, job, &wanted), ERR_OK);
    value = NULL;
    assert_int_equal(store_job_submitter(s, job, &value), ERR_OK);
    json_decref(value);
    assert_int_equal(put_result(s, id, "{'status': {'setup': 0}}", "test"), ERR_OK);
    assert_state(s, id, "test");
    check_steps(s, "result");
}

static void test_steps(void **state)
{
    char id[ID_SIZE];
    const char *last = "11111111-2222-3333-4444-000000099999";
    struct sweep sweep = {.now_ms = 1000, .before_ms = 1000};

    (void)state;
    struct store *s = open_store();
    fill(s);
    add_job(s, "small", "'tags': ['x']", id);
    assert_next(s, "small", id);
    assert_next(s, "big", "11111111-2222-3333-4444-000000000001");
    assert_next(s, "nothing", NULL);
    check_steps(s, "claims");
    check_one_job(s, last);
    check_searches(s);
    check_lists(s, false);
    check_lists(s, true);
    json_t *jobs = json_array();
    struct list_page page = {.limit = PAGE_LEN, .take = take, .arg = jobs};
    assert_int_equal(store_queue_jobs(s, text_of("q2"), &page), ERR_OK);
    assert_int_equal(json_array_size(jobs), 10);
    json_decref(jobs);
    assert_int_equal(store_claims_overdue(s, &sweep), ERR_OK);
    assert_int_equal(cancel_job(s, last), ERR_OK);
    check_steps(s, "others");
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plans, make_file, remove_file),
        cmocka_unit_test_setup_teardown(test_steps, make_file, remove_file),
    };

    log_setup("sqlite_plans_test", LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
