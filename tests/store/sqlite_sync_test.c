/* The setting sqlite-sync does what it says: syncs of the write-ahead log are counted by a VFS that
 * stands before the one of the system. */
#include "tests/store/suite.h"
#include "worker/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITES 10

static sqlite3_vfs counting, *below;
static sqlite3_io_methods methods;
static const sqlite3_io_methods *methods_below;
static int syncs;

static int count_sync(sqlite3_file *f, int flags)
{
    syncs++;
    return methods_below->xSync(f, flags);
}

static int open_counted(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    int code = below->xOpen(below, name, f, flags, out);

    if (code == SQLITE_OK && f->pMethods && (flags & SQLITE_OPEN_WAL)) {
        methods_below = f->pMethods;
        methods = *f->pMethods;
        methods.xSync = count_sync;
        f->pMethods = &methods;
    }
    return code;
}

static int register_counting(void **state)
{
    (void)state;
    below = sqlite3_vfs_find(NULL);
    counting = *below;
    counting.zName = "counting";
    counting.xOpen = open_counted;
    return sqlite3_vfs_register(&counting, 1) == SQLITE_OK ? 0 : -1;
}

/* Syncs of the log for WRITES jobs, one transaction each. */
static int syncs_with(int setting)
{
    char folder[] = "/tmp/tf-sync-XXXXXX", uri[64], command[64];
    const struct config cfg = {.store_timeout = 10000, .sqlite_sync = setting};
    struct store *s = NULL;

    assert_non_null(mkdtemp(folder));
    snprintf(uri, sizeof uri, "sqlite:%s/data.db", folder);
    assert_int_equal(store_open(uri, &cfg, &s), ERR_OK);
    syncs = 0;
    for (int i = 0; i < WRITES; i++) {
        char id[ID_SIZE];
        new_id(id);
        struct job_new job = {
            .asked = asked_now(id), .job_id = id, .data = json_pack("{s:s}", "job_queue", "q")};
        assert_int_equal(store_jobs_add(s, &job, 1), ERR_OK);
        json_decref(job.data);
    }
    int counted = syncs;
    store_close(s);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    return counted;
}

static void test_full_syncs_each_write(void **state)
{
    (void)state;
    assert_true(syncs_with(STORE_SYNC_FULL) >= WRITES);
}

static void test_normal_syncs_at_checkpoints_only(void **state)
{
    (void)state;
    assert_int_equal(syncs_with(STORE_SYNC_NORMAL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_syncs_each_write),
        cmocka_unit_test(test_normal_syncs_at_checkpoints_only),
    };

    return cmocka_run_group_tests_name("sqlite sync", tests, register_counting, NULL);
}
