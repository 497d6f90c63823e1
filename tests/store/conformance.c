/* The rules of worker/store/store.h, on either back end: conformance [URI].
 *
 * Without a URI: SQLite in a temporary folder. With `--env`: the URI in TEST_STORE_URI, exit status
 * 77 (skipped) when it is not set. The store's contents are neither needed nor removed. */
#include "tests/store/suite.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_SKIPPED 77

static const struct suite {
    const char *name;
    const struct CMUnitTest *tests;
    const size_t *len;
} suites[] = {
    {"jobs", jobs_suite, &jobs_suite_len},
    {"claims", claims_suite, &claims_suite_len},
    {"results", results_suite, &results_suite_len},
    {"output", output_suite, &output_suite_len},
    {"logs", logs_suite, &logs_suite_len},
    {"agents", agents_suite, &agents_suite_len},
    {"groups", groups_suite, &groups_suite_len},
    {"keys", keys_suite, &keys_suite_len},
    {"job_events", job_events_suite, &job_events_suite_len},
    {"job_view", job_view_suite, &job_view_suite_len},
    {"leases", leases_suite, &leases_suite_len},
    {"expiry", expiry_suite, &expiry_suite_len},
    {"directory", directory_suite, &directory_suite_len},
    {"lists", lists_suite, &lists_suite_len},
    {"auth", auth_suite, &auth_suite_len},
    {"files", files_suite, &files_suite_len},
    {"secrets", secrets_suite, &secrets_suite_len},
};

/* The tests get the stores as their state. */
static int run(const struct suite *s, struct stores *stores)
{
    struct CMUnitTest *tests = calloc(*s->len, sizeof *tests);

    if (!tests)
        return 1;
    memcpy(tests, s->tests, *s->len * sizeof *tests);
    for (size_t i = 0; i < *s->len; i++)
        tests[i].initial_state = stores;
    int failed = _cmocka_run_group_tests(s->name, tests, *s->len, NULL, NULL);
    free(tests);
    return failed;
}

static int run_all(const char *uri)
{
    struct stores stores = {.uri = uri, .cfg = {.store_timeout = 5000}};
    int failed = 0;

    char key[129] = ""; /* 96 bytes, the same in each run: the key vault stays */

    memset(key, 'A', sizeof key - 1);
    stores.cfg.secrets_master_key = key;
    stores.cfg.sqlite_sync = STORE_SYNC_NORMAL;
    if (store_open(uri, &stores.cfg, &stores.a) || store_open(uri, &stores.cfg, &stores.b)) {
        store_close(stores.a);
        fprintf(stderr, "conformance: the store does not open\n");
        return 1;
    }
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        failed += run(&suites[i], &stores);
    store_close(stores.a);
    store_close(stores.b);
    return failed != 0;
}

static int run_on_sqlite(void)
{
    static const char *const files[] = {"data.db", "data.db-wal", "data.db-shm"};
    char folder[] = "/tmp/tf-conformance-XXXXXX", uri[128], path[128];

    if (!mkdtemp(folder)) {
        perror("conformance: a folder in /tmp");
        return 1;
    }
    snprintf(uri, sizeof uri, "sqlite:%s/data.db", folder);
    int status = run_all(uri);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
    return status;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : NULL;

    log_setup("conformance", LOG_TEXT, LOG_WARN);
    if (!uri)
        return run_on_sqlite();
    if (strcmp(uri, "--env") == 0)
        uri = getenv("TEST_STORE_URI");
    if (!uri || !*uri) {
        fprintf(stderr, "skipped: set TEST_STORE_URI to mongodb://HOST/DATABASE, a database for "
                        "tests (tests/run does)\n");
        return EXIT_SKIPPED;
    }
    return run_all(uri);
}
