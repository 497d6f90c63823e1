#include "common/bus_folder.h"
#include "deploy/launcher/folders.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char scratch[] = "/tmp/folders-test-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(scratch) && setenv("XDG_RUNTIME_DIR", scratch, 1) == 0 ? 0 : -1;
}

/* A path in the scratch folder, in static storage until the next call. */
static const char *at(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", scratch);
    return system(command);
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void make_file(const char *folder, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void test_private_folder(void **state)
{
    struct bus_folder a, b;
    char reason[FOLDERS_REASON_SIZE];

    (void)state;
    assert_int_equal(bus_folder_make(&a, reason), ERR_OK);
    assert_int_equal(strncmp(a.path, scratch, strlen(scratch)), 0);
    assert_int_equal(mode_of(a.path), 0700);
    make_file(a.path, "broker-0.frontends");
    /* Another server's start leaves it alone. */
    assert_int_equal(bus_folder_make(&b, reason), ERR_OK);
    assert_string_not_equal(a.path, b.path);
    assert_int_equal(mode_of(a.path), 0700);
    bus_folder_remove(&a);
    bus_folder_remove(&b);
    assert_int_equal(mode_of(a.path), 0);
    assert_int_equal(mode_of(b.path), 0);
    bus_folder_remove(&a); /* nothing left to do */
}

static void test_left_folders_are_removed(void **state)
{
    struct bus_folder killed, next;
    char reason[FOLDERS_REASON_SIZE];

    (void)state;
    assert_int_equal(bus_folder_make(&killed, reason), ERR_OK);
    make_file(killed.path, "broker-0.lock");
    close(killed.fd); /* as the end of all its processes does */
    assert_int_equal(bus_folder_make(&next, reason), ERR_OK);
    assert_int_equal(mode_of(killed.path), 0);
    bus_folder_remove(&next);
}

static void test_given_folder(void **state)
{
    char reason[FOLDERS_REASON_SIZE];

    (void)state;
    assert_int_equal(bus_folder_check(at("given"), reason), ERR_OK);
    assert_int_equal(mode_of(at("given")), 0700);
    assert_int_equal(bus_folder_check(at("given"), reason), ERR_OK);
    assert_int_equal(chmod(at("given"), 0750), 0);
    assert_int_equal(bus_folder_check(at("given"), reason), ERR_INVALID);
    assert_non_null(strstr(reason, "chmod 700"));
    make_file(scratch, "file");
    assert_int_equal(bus_folder_check(at("file"), reason), ERR_INVALID);
    assert_int_equal(bus_folder_check(at("no/where"), reason), ERR_INVALID);
    assert_non_null(strstr(reason, "cannot make"));
}

static void test_folder_of_a_file(void **state)
{
    char reason[FOLDERS_REASON_SIZE];

    (void)state;
    assert_int_equal(folders_for_file(at("a/b/c/data.db"), reason), ERR_OK);
    assert_int_equal(mode_of(at("a/b/c")), 0700);
    assert_int_equal(mode_of(at("a")), 0700);
    assert_int_equal(mode_of(at("a/b/c/data.db")), 0);
    assert_int_equal(chmod(at("a"), 0755), 0);
    assert_int_equal(folders_for_file(at("a/data.db"), reason), ERR_OK);
    assert_int_equal(mode_of(at("a")), 0755);
    assert_int_equal(folders_for_file("data.db", reason), ERR_OK);
    make_file(scratch, "plain");
    assert_int_equal(folders_for_file(at("plain/data.db"), reason), ERR_INVALID);
    assert_non_null(strstr(reason, "store: "));
    char *path = calloc(1, FOLDERS_PATH_SIZE + 1);
    memset(path, 'x', FOLDERS_PATH_SIZE);
    assert_int_equal(folders_for_file(path, reason), ERR_INVALID);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_folder),
        cmocka_unit_test(test_left_folders_are_removed),
        cmocka_unit_test(test_given_folder),
        cmocka_unit_test(test_folder_of_a_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
