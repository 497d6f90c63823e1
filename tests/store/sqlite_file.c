#include "tests/store/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct config cfg = {.store_timeout = TIMEOUT_MS, .sqlite_sync = STORE_SYNC_FULL};

/* A folder for each test, and the file in it. */
char folder[64], path[96], uri[128];

int make_folder(void **state)
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

int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct store *open_store(void)
{
    struct store *s = NULL;

    assert_int_equal(store_open(uri, &cfg, &s), ERR_OK);
    return s;
}

/* Another program at the same file. */
sqlite3 *open_other(void)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

void exec(sqlite3 *db, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
}

/* The file's structure is as it should be. */
void assert_sound(void)
{
    sqlite3 *db = open_other();
    sqlite3_stmt *st = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
    sqlite3_finalize(st);
    sqlite3_close(db);
}

enum err open_uri(const char *what)
{
    struct store *s = NULL;
    enum err e = store_open(what, &cfg, &s);

    assert_true(e ? !s : s != NULL);
    store_close(s);
    return e;
}

void open_in_processes(void)
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

/* A small disk of our own; false: not allowed here. */
static bool mount_disk(void)
{
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return mount("tmpfs", folder, "tmpfs", 0, "size=8m") == 0;
}

void fill_disk(const char *name)
{
    char zeros[4096] = {0};
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

void on_small_disk(void (*use)(void))
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
