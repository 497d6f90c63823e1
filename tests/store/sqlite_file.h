/* Tests of the SQLite back end that have a file of their own. */
#ifndef TESTS_STORE_SQLITE_FILE_H
#define TESTS_STORE_SQLITE_FILE_H

#include "tests/store/suite.h"
#include "worker/store/sqlite/sqlite.h"

#define TIMEOUT_MS 300

/* The folder of the test that runs, the file in it, and the file's address. */
extern char folder[64], path[96], uri[128];

int make_folder(void **state);
int remove_folder(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

/* Must work. */
struct store *open_store(void);
/* Another program at the same file. */
sqlite3 *open_other(void);
void exec(sqlite3 *db, const char *sql);
/* The file's structure is as it should be. */
void assert_sound(void);
/* Opens and closes a store. */
enum err open_uri(const char *what);
/* Several processes open the file at once. */
void open_in_processes(void);

/* Writes to the file until the disk is full. */
void fill_disk(const char *name);
/* Runs it with a small disk as the folder; skips the test where that is not allowed. */
void on_small_disk(void (*use)(void));

#endif
