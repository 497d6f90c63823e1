/* Files of other versions: how an older one changes, and the copy that is made of it before. */
#include "tests/store/sqlite_file.h"

#include "common/log.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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
             "INSERT INTO job_data VALUES (7, '{\"job_queue\":\"q\",\"tags\":[\"t\"]}')");
    sqlite3_close(db);
}

static bool is_old(void *found, struct text name, json_t *value)
{
    *(bool *)found = text_is(name, "old");
    json_decref(value);
    return true;
}

/* Fails unless the job is found by its tag. */
static void assert_tagged(struct store *s)
{
    json_t *tags = json_of("['t']");
    bool found = false;
    struct list_page page = {.limit = 9, .take = is_old, .arg = &found};

    assert_int_equal(
        store_jobs_list(s, &(struct job_filter){.tags = tags, .until_ms = 1000}, &page), ERR_OK);
    assert_true(found);
    json_decref(tags);
}

/* The first version's tables get what they lack. */
static void test_older_version(void **state)
{
    (void)state;
    make_old_file();
    struct store *s = open_store();
    assert_next(s, "q", "old");
    assert_tagged(s);
    assert_int_equal(put_result(s, "old", "{'x': 1}", "complete"), ERR_OK);
    store_close(s);
    s = open_store();
    assert_result(s, "old", "{'job_state': 'complete', 'x': 1}");
    store_close(s);
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

static void test_upgrade_on_full_disk(void **state)
{
    (void)state;
    on_small_disk(upgrade_on_full_disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_newer_version),         TEST(test_older_version),
        TEST(test_copy_leads_back),       TEST(test_only_older_files_are_copied),
        TEST(test_three_copies_are_kept), TEST(test_no_change_without_a_copy),
        TEST(test_one_of_many_copies),    TEST(test_upgrade_on_full_disk),
    };

    log_setup("sqlite_upgrade_test", LOG_TEXT, LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
