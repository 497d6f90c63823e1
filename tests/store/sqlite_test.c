/* What only the SQLite back end has: its file, locks of other processes, full disks, old versions.
 */
#include "tests/store/suite.h"
#include "worker/store/sqlite/sqlite.h"

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

#define TIMEOUT_MS 300

static const struct config cfg = {.store_timeout = TIMEOUT_MS, .sqlite_sync = STORE_SYNC_FULL};

/* A folder for each test, and the file in it. */
static char folder[64], path[96], uri[128];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/tf-sqlite-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/data.db", folder);
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(name);
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct store *open_store(void)
{
    struct store *s = NULL;

    assert_int_equal(store_open(uri, &cfg, &s), ERR_OK);
    return s;
}

/* Another program at the same file. */
static sqlite3 *open_other(void)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static void exec(sqlite3 *db, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
}

/* The file's structure is as it should be. */
static void assert_sound(void)
{
    sqlite3 *db = open_other();
    sqlite3_stmt *st = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
    sqlite3_finalize(st);
    sqlite3_close(db);
}

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

static enum err open_uri(const char *what)
{
    struct store *s = NULL;
    enum err e = store_open(what, &cfg, &s);

    assert_true(e ? !s : s != NULL);
    store_close(s);
    return e;
}

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

static void test_newer_version(void **state)
{
    (void)state;
    store_close(open_store());
    sqlite3 *db = open_other();
    exec(db, "PRAGMA user_version = 1000");
    sqlite3_close(db);
    assert_int_equal(open_uri(uri), ERR_INVALID);
}

/* A file of the first version, with a job in it. */
static void make_old_file(void)
{
    static const char *const migrations[] = {
#define MIGRATION(...) __VA_ARGS__,
#include "worker/store/sqlite/migrations.def"
#undef MIGRATION
    };

    sqlite3 *db = open_other();
    exec(db, migrations[0]);
    exec(db, "PRAGMA application_id = 0x54465343; PRAGMA user_version = 1;"
             "INSERT INTO jobs (id, job_id, queue, state, priority, created_us, data_size)"
             " VALUES (7, 'old', 'q', 'waiting', 0, 1, 17);"
             "INSERT INTO job_data VALUES (7, '{\"job_queue\":\"q\"}')");
    sqlite3_close(db);
}

/* The first version's tables get what they lack. */
static void test_older_version(void **state)
{
    (void)state;
    make_old_file();
    struct store *s = open_store();
    assert_next(s, "q", "old");
    assert_int_equal(put_result(s, "old", "{'x': 1}", "complete"), ERR_OK);
    store_close(s);
    s = open_store();
    assert_result(s, "old", "{'job_state': 'complete', 'x': 1}");
    store_close(s);
}

static void open_in_processes(void)
{
    enum { N = 8 };
    pid_t pids[N];
    int status;

    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct store *s = NULL;
            struct config patient = {.store_timeout = 10000};
            enum err e = store_open(uri, &patient, &s);
            if (!e)
                e = store_ping(s);
            store_close(s);
            _exit((int)e);
        }
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

static void test_many_make_the_file_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        open_in_processes();
        unlink(path);
    }
}

/* ---- the copy before an older file changes ---- */

static int64_t version_of(const char *file)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;

    assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t version = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return version;
}

/* How many files there are of the name and this end; `first` gets the path of the first one. */
static size_t count_files(const char *end, char first[256])
{
    char pattern[256];
    glob_t found;

    snprintf(pattern, sizeof pattern, "%s%s", path, end);
    size_t n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    if (n && first)
        snprintf(first, 256, "%s", found.gl_pathv[0]);
    globfree(&found);
    return n;
}

static void test_copy_leads_back(void **state)
{
    char copy[256], command[1024];
    struct stat st;

    (void)state;
    make_old_file();
    for (int round = 0; round < 2; round++) {
        struct store *s = open_store();
        assert_next(s, "q", "old");
        store_close(s);
        assert_int_equal(count_files(".*", NULL), 1);
        assert_int_equal(count_files(".20[0-9][0-9]-[01][0-9]-[0-3][0-9].version-1", copy), 1);
        assert_int_equal(version_of(copy), 1);
        assert_int_equal(stat(copy, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        snprintf(command, sizeof command, "rm -f %s-wal %s-shm && cp %s %s", path, path, copy,
                 path);
        assert_int_equal(system(command), 0);
        assert_int_equal(version_of(path), 1);
        assert_sound();
    }
}

static void test_only_older_files_are_copied(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        store_close(open_store());
    assert_int_equal(count_files(".*", NULL), 0);
}

static void test_three_copies_are_kept(void **state)
{
    static const char *const names[] = {".2001-01-01.version-1",    ".2001-01-01.version-2",
                                        ".2001-01-02.version-10",   ".2001-01-02.version-9",
                                        ".2001-01-01.version-1.gz", ".notes"};
    char name[256];

    (void)state;
    make_old_file();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "%s%s", path, names[i]);
        close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    store_close(open_store());
    assert_int_equal(count_files(".*.version-*[0-9]", NULL), 3);
    assert_int_equal(count_files(".2001-01-02.version-*", NULL), 2);
    assert_int_equal(count_files(".2001-01-01.version-1.gz", NULL), 1);
    assert_int_equal(count_files(".notes", NULL), 1);
}

static void test_no_change_without_a_copy(void **state)
{
    char part[128];

    (void)state;
    make_old_file();
    snprintf(part, sizeof part, "%s.copying", path);
    assert_int_equal(mkdir(part, 0700), 0);
    assert_int_equal(open_uri(uri), ERR_INVALID);
    assert_int_equal(version_of(path), 1);
    assert_int_equal(rmdir(part), 0);
    assert_int_equal(open_uri(uri), ERR_OK);
}

/* Many open an older file at once: one copies and changes it, the others wait for that. */
static void test_one_of_many_copies(void **state)
{
    char copy[256];

    (void)state;
    make_old_file();
    open_in_processes();
    assert_int_equal(count_files(".*", copy), 1);
    assert_int_equal(version_of(copy), 1);
}

/* ---- locks ---- */

static void test_locked(void **state)
{
    enum { CALLS = 5 };
    char id[ID_SIZE], none[ID_SIZE];

    (void)state;
    struct store *s = open_store();
    add_job(s, "q", NULL, id);
    sqlite3 *other = open_other();
    exec(other, "BEGIN IMMEDIATE");
    int64_t start = clock_mono_ms();
    assert_int_equal(try_add(s, "q", 1, none), ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - start >= TIMEOUT_MS);
    assert_true(clock_mono_ms() - start < 3 * TIMEOUT_MS);
    /* all writes of a group wait but once, and what only reads does not wait */
    start = clock_mono_ms();
    assert_int_equal(store_group_begin(s), ERR_OK);
    for (int i = 0; i < CALLS; i++) {
        assert_result(s, id, "{'job_state': 'waiting'}");
        assert_int_equal(try_add(s, "q", 1, none), ERR_UNAVAILABLE);
        assert_int_equal(claim_job(s, "empty", NULL, none), ERR_NOT_FOUND);
        assert_int_equal(store_ping(s), ERR_OK);
    }
    assert_int_equal(store_group_commit(s), ERR_OK);
    assert_true(clock_mono_ms() - start < 3 * TIMEOUT_MS);
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

/* A small disk of our own; false: not allowed here. */
static bool mount_disk(void)
{
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return mount("tmpfs", folder, "tmpfs", 0, "size=8m") == 0;
}

static void fill_disk(const char *name)
{
    char zeros[4096] = {0};
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
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

/* Room to open an older file, but not for a copy. */
static void upgrade_on_full_disk(void)
{
    char filler[128];
    struct stat st;

    snprintf(filler, sizeof filler, "%s/filler", folder);
    make_old_file();
    fill_disk(filler);
    assert_int_equal(stat(filler, &st), 0);
    assert_int_equal(truncate(filler, st.st_size - 500 * 1000), 0);
    assert_int_equal(open_uri(uri), ERR_INVALID);
    assert_int_equal(count_files(".*", NULL), 0);
    assert_int_equal(truncate(filler, 0), 0);
    assert_int_equal(version_of(path), 1);
    assert_int_equal(open_uri(uri), ERR_OK);
}

static void on_small_disk(void (*use)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (!mount_disk())
            _exit(77);
        use();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_full_disk(void **state)
{
    (void)state;
    on_small_disk(use_full_disk);
}

static void test_upgrade_on_full_disk(void **state)
{
    (void)state;
    on_small_disk(upgrade_on_full_disk);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_uris),
        TEST(test_mode_of_the_file),
        TEST(test_no_database),
        TEST(test_database_of_another_program),
        TEST(test_newer_version),
        TEST(test_older_version),
        TEST(test_many_make_the_file_at_once),
        TEST(test_copy_leads_back),
        TEST(test_only_older_files_are_copied),
        TEST(test_three_copies_are_kept),
        TEST(test_no_change_without_a_copy),
        TEST(test_one_of_many_copies),
        TEST(test_locked),
        TEST(test_full_file),
        TEST(test_full_disk),
        TEST(test_upgrade_on_full_disk),
        TEST(test_kill_loses_nothing_acknowledged),
        TEST(test_file_removed),
        TEST(test_log_is_bounded),
    };

    log_setup("sqlite_test", LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
