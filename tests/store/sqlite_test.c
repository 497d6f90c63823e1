/* What only the SQLite back end has: its file, locks of other processes, full disks. */
#include "tests/store/sqlite_file.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Adds a job without asserting that this works. */
static enum err try_add(struct store *s, const char *queue, size_t size, char id[ID_SIZE])
{
    char *big = long_text('x', size);

    new_id(id);
    struct job_new job = {.asked = asked_now(id),
                          .job_id = id,
                          .data = json_pack("{s:s,s:s}", "job_queue", queue, "big", big)};
    enum err e = store_jobs_add(s, &job, 1);
    json_decref(job.data);
    free(big);
    return e;
}

/* ---- opening ---- */

static void test_uris(void **state)
{
    char text[128];

    (void)state;
    assert_int_equal(open_uri("sqlite:"), ERR_INVALID);
    snprintf(text, sizeof text, "sqlite:%s/none/data.db", folder);
    assert_int_equal(open_uri(text), ERR_UNAVAILABLE);
    snprintf(text, sizeof text, "sqlite:%s", folder);
    assert_int_equal(open_uri(text), ERR_UNAVAILABLE);
    /* SQLite takes these for something else than names of files */
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(open_uri("sqlite::memory:"), ERR_OK);
    assert_int_equal(open_uri("sqlite:file:x?mode=memory"), ERR_OK);
    assert_int_equal(access(":memory:", F_OK), 0);
    assert_int_equal(access("file:x?mode=memory", F_OK), 0);
    assert_int_equal(chdir("/"), 0);
}

static void test_mode_of_the_file(void **state)
{
    struct stat st;

    (void)state;
    store_close(open_store());
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_no_database(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputs("some text of a user\n", f);
    fclose(f);
    assert_int_equal(open_uri(uri), ERR_INVALID);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 20000);
}

static void test_database_of_another_program(void **state)
{
    (void)state;
    sqlite3 *db = open_other();
    exec(db, "CREATE TABLE jobs (x)");
    sqlite3_close(db);
    assert_int_equal(open_uri(uri), ERR_INVALID);
}

static void test_many_make_the_file_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        open_in_processes();
        unlink(path);
    }
}

/* ---- locks ---- */

/* All writes of a group wait but once, and what only reads does not wait. Returns the time. */
static int64_t wait_in_group(struct store *s, const char *id)
{
    enum { CALLS = 5 };
    char none[ID_SIZE];
    int64_t start = clock_mono_ms();

    assert_int_equal(store_group_begin(s), ERR_OK);
    for (int i = 0; i < CALLS; i++) {
        assert_result(s, id, "{'job_state': 'waiting'}");
        assert_int_equal(try_add(s, "q", 1, none), ERR_UNAVAILABLE);
        assert_int_equal(claim_job(s, "empty", NULL, none), ERR_NOT_FOUND);
        assert_int_equal(store_ping(s), ERR_OK);
    }
    assert_int_equal(store_group_commit(s), ERR_OK);
    return clock_mono_ms() - start;
}

static void test_locked(void **state)
{
    char id[ID_SIZE], none[ID_SIZE];
    bool once = false;

    (void)state;
    struct store *s = open_store();
    add_job(s, "q", NULL, id);
    sqlite3 *other = open_other();
    exec(other, "BEGIN IMMEDIATE");
    int64_t start = clock_mono_ms();
    assert_int_equal(try_add(s, "q", 1, none), ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - start >= TIMEOUT_MS);
    for (int i = 0; i < 5 && !once; i++) /* a busy machine may delay one */
        once = wait_in_group(s, id) < 3 * TIMEOUT_MS;
    assert_true(once);
    exec(other, "COMMIT");
    assert_next(s, "q", id);
    assert_next(s, "q", NULL);
    sqlite3_close(other);
    store_close(s);
}

/* ---- full disks ---- */

/* Whatever SQLite does about the transaction: a group that was committed is there but for the calls
 * that failed, one that was not is not there at all. */
static void check_group(struct store *s, size_t size)
{
    enum { N = 40 };
    char ids[N][ID_SIZE];
    enum err errs[N];
    json_t *data;

    assert_int_equal(store_group_begin(s), ERR_OK);
    for (size_t i = 0; i < N; i++) {
        errs[i] = try_add(s, "q", size, ids[i]);
        assert_true(!errs[i] || errs[i] == ERR_UNAVAILABLE);
    }
    enum err commit = store_group_commit(s);
    assert_true(!commit || commit == ERR_UNAVAILABLE);
    for (size_t i = 0; i < N; i++) {
        data = NULL;
        assert_int_equal(get_job(s, text_of(ids[i]), &data),
                         commit || errs[i] ? ERR_NOT_FOUND : ERR_OK);
        json_decref(data);
    }
    assert_true(commit || errs[N - 1]);
}

static void test_full_file(void **state)
{
    char id[ID_SIZE];

    (void)state;
    struct store *s = open_store();
    add_job(s, "first", NULL, id);
    exec(sqlite_of(s)->db, "PRAGMA max_page_count = 100");
    check_group(s, 100 * 1000);
    check_group(s, 30 * 1000);
    exec(sqlite_of(s)->db, "PRAGMA max_page_count = 100000");
    assert_next(s, "first", id);
    add_job(s, "second", NULL, id);
    assert_next(s, "second", id);
    store_close(s);
}

static void use_full_disk(void)
{
    char filler[128], id[ID_SIZE], none[ID_SIZE];

    snprintf(filler, sizeof filler, "%s/filler", folder);
    struct store *s = open_store();
    add_job(s, "first", NULL, id);
    for (int round = 0; round < 2; round++) {
        fill_disk(filler);
        check_group(s, 200 * 1000);
        assert_int_equal(try_add(s, "q", 200 * 1000, none), ERR_UNAVAILABLE);
        assert_state(s, id, "waiting");
        assert_int_equal(store_ping(s), ERR_OK);
        if (round == 1) { /* a start on a full disk */
            store_close(s);
            s = open_store();
            assert_state(s, id, "waiting");
        }
        unlink(filler);
        assert_int_equal(try_add(s, "q", 200 * 1000, none), ERR_OK);
    }
    assert_next(s, "first", id);
    store_close(s);
    assert_sound();
}

static void test_full_disk(void **state)
{
    (void)state;
    on_small_disk(use_full_disk);
}

/* ---- processes that die ---- */

/* Adds jobs, in groups now and then, and tells each once it is acknowledged. */
static void add_until_killed(int out)
{
    char ids[8][ID_SIZE];
    struct store *s = NULL;
    struct config patient = {.store_timeout = 10000, .sqlite_sync = STORE_SYNC_NORMAL};

    if (store_open(uri, &patient, &s))
        _exit(1);
    for (size_t n = 1;; n = n % 8 + 1) {
        bool ok = !store_group_begin(s);
        for (size_t i = 0; i < n; i++)
            ok = !try_add(s, "q", 3000, ids[i]) && ok;
        if (store_group_commit(s) || !ok || write(out, ids, n * ID_SIZE) < 0)
            _exit(1);
    }
}

static void test_kill_loses_nothing_acknowledged(void **state)
{
    enum { N = 3 };
    char id[ID_SIZE];
    int status;
    size_t told = 0;

    (void)state;
    store_close(open_store());
    for (int round = 0; round < 4; round++) {
        pid_t pids[N];
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        for (int i = 0; i < N; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                add_until_killed(ends[1]);
        }
        close(ends[1]);
        usleep(150000);
        for (int i = 0; i < N; i++)
            kill(pids[i], SIGKILL);
        for (int i = 0; i < N; i++) {
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_true(WIFSIGNALED(status));
        }
        struct store *s = open_store();
        /* pieces of up to PIPE_BUF are written whole */
        while (read(ends[0], id, ID_SIZE) == ID_SIZE) {
            json_t *data = NULL;
            assert_int_equal(get_job(s, text_of(id), &data), ERR_OK);
            json_decref(data);
            told++;
        }
        close(ends[0]);
        store_close(s);
    }
    assert_true(told > 0);
    assert_sound();
}

/* ---- the files ---- */

static void test_file_removed(void **state)
{
    char id[ID_SIZE], elsewhere[96];

    (void)state;
    struct store *s = open_store();
    add_job(s, "q", NULL, id);
    unlink(path);
    usleep(1100000);
    assert_int_equal(store_group_begin(s), ERR_OK);
    add_job(s, "q", NULL, id);
    assert_int_equal(store_group_commit(s), ERR_OK);
    struct store *other = open_store();
    assert_next(other, "q", id);
    store_close(other);
    snprintf(elsewhere, sizeof elsewhere, "%s-moved", folder);
    assert_int_equal(rename(folder, elsewhere), 0);
    usleep(1100000);
    assert_int_equal(store_ping(s), ERR_UNAVAILABLE);
    assert_int_equal(store_group_begin(s), ERR_UNAVAILABLE);
    assert_int_equal(try_add(s, "q", 1, id), ERR_UNAVAILABLE);
    assert_int_equal(rename(elsewhere, folder), 0);
    usleep(1100000);
    assert_int_equal(store_ping(s), ERR_OK);
    add_job(s, "q", NULL, id);
    assert_next(s, "q", id);
    store_close(s);
}

static void test_log_is_bounded(void **state)
{
    char id[ID_SIZE], wal[128];
    struct stat st;

    (void)state;
    struct store *s = open_store();
    snprintf(wal, sizeof wal, "%s-wal", path);
    for (int i = 0; i < 200; i++)
        assert_int_equal(try_add(s, "q", MIB, id), ERR_OK);
    assert_int_equal(stat(wal, &st), 0);
    assert_true((size_t)st.st_size < 128 * MIB);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_uris),
        TEST(test_mode_of_the_file),
        TEST(test_no_database),
        TEST(test_database_of_another_program),
        TEST(test_many_make_the_file_at_once),
        TEST(test_locked),
        TEST(test_full_file),
        TEST(test_full_disk),
        TEST(test_kill_loses_nothing_acknowledged),
        TEST(test_file_removed),
        TEST(test_log_is_bounded),
    };

    log_setup("sqlite_test", LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
