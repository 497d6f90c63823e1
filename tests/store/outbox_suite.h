/* What the tests of the outbox share. Each test runs on an SQLite file of its own and, where
 * TEST_STORE_URI is given, on that database too. */
#ifndef TESTS_STORE_OUTBOX_SUITE_H
#define TESTS_STORE_OUTBOX_SUITE_H

#include "worker/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEASE = 20000, LIMIT = 10 };
#define BODY "{\"events\": []}"

/* One run's store and what it has claimed last. */
struct fixture {
    struct store *s;
    int64_t now;
    char path[64];
    struct outbox_event events[LIMIT];
    size_t len;
    bool more, due;
    const char *only;        /* the receiver that accept() takes, NULL: all */
    const char *exclude[64]; /* for the next claims */
    size_t exclude_len;
};

int open_sqlite(void **state);
int open_other(void **state);
int close_store(void **state); /* ends every lane: tests on one database do not meet */

/* A name that no other test has used. */
const char *name(char out[64], const char *prefix);

/* An event to add, and its texts. */
struct post {
    char id[REQUEST_ID_SIZE], lane[OUTBOX_LANE_SIZE];
    struct outbox_add add;
};
void post_init(struct post *p, const char *job, const char *receiver, const char *body,
               int64_t now);

/* Adds an event that is not claimed; returns the id under which it is kept, good for 8 calls. */
char *add(struct fixture *f, const char *job, const char *receiver, const char *body);

/* Claims lanes that are due into f->events, which are freed before. */
void claim(struct fixture *f, size_t limit);
void forget(struct fixture *f);
bool any(void *arg, const char *receiver); /* accept() of claims: f->only */

/* Tells what became of f->events[i]. */
void settle(struct fixture *f, size_t i, enum outbox_outcome outcome, int64_t due_ms);

void assert_state(struct fixture *f, const char *id, enum outbox_state state);

/* The rows of a table of tests, for each store. */
#define ON_SQLITE(test)                                                                            \
    {                                                                                              \
        "sqlite: " #test, test, open_sqlite, close_store, NULL                                     \
    }
#define ON_OTHER(test)                                                                             \
    {                                                                                              \
        "other: " #test, test, open_other, close_store, NULL                                       \
    }

/* main() of a file whose tests TESTS(row) lists. */
#define OUTBOX_MAIN(group, TESTS)                                                                  \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest sqlite[] = {TESTS(ON_SQLITE)}, other[] = {TESTS(ON_OTHER)};        \
        int failed = cmocka_run_group_tests_name(group, sqlite, NULL, NULL);                       \
                                                                                                   \
        if (getenv("TEST_STORE_URI"))                                                              \
            failed += cmocka_run_group_tests_name(group, other, NULL, NULL);                       \
        return failed;                                                                             \
    }

#endif
