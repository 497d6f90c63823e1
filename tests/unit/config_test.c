#include "common/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void clear_environment(void)
{
    static const char *const names[] = {
        "TESTFLINGER_STORE", "TESTFLINGER_QUEUE_LIMIT", "TESTFLINGER_COMPAT",
        "MONGODB_URI",       "MONGODB_URI_FILE",        "MONGODB_HOST",
        "MONGODB_DATABASE",  "MONGODB_USERNAME",        "MONGODB_PASSWORD",
        "MONGODB_PORT",      "MONGODB_AUTH_SOURCE",     "TESTFLINGER_PROCESSES"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static void load(struct config *cfg, enum role_bit role, const char *flag, const char *value)
{
    char *argv[] = {(char[]){"x"}, (char[64]){0}, (char[64]){0}, NULL};

    snprintf(argv[1], 64, "%s", flag ? flag : "");
    snprintf(argv[2], 64, "%s", value ? value : "");
    config_load(cfg, role, "test", flag ? 3 : 1, argv);
}

static void test_flag_wins_over_environment_over_default(void **state)
{
    struct config cfg;

    (void)state;
    clear_environment();
    load(&cfg, R_BROKER, NULL, NULL);
    assert_int_equal(cfg.queue_limit, 2000);
    config_free(&cfg);
    setenv("TESTFLINGER_QUEUE_LIMIT", "7", 1);
    load(&cfg, R_BROKER, NULL, NULL);
    assert_int_equal(cfg.queue_limit, 7);
    config_free(&cfg);
    load(&cfg, R_BROKER, "--queue-limit", "8");
    assert_int_equal(cfg.queue_limit, 8);
    config_free(&cfg);
}

/* A value counts as given also if it equals the default; an empty variable does not. */
static void test_what_was_given(void **state)
{
    struct config cfg;

    (void)state;
    clear_environment();
    load(&cfg, R_WORKER, NULL, NULL);
    assert_false(cfg.given.compat);
    config_free(&cfg);
    load(&cfg, R_WORKER, "--compat", "documented");
    assert_true(cfg.given.compat);
    assert_false(cfg.given.store);
    config_free(&cfg);
    setenv("TESTFLINGER_COMPAT", "documented", 1);
    load(&cfg, R_WORKER, NULL, NULL);
    assert_true(cfg.given.compat);
    config_free(&cfg);
    setenv("TESTFLINGER_COMPAT", "", 1);
    load(&cfg, R_WORKER, NULL, NULL);
    assert_false(cfg.given.compat);
    config_free(&cfg);
}

/* Exit status of a child that loads these settings; its messages go nowhere. */
static int load_status(const char *flag, const char *value)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct config cfg;
        if (!freopen("/dev/null", "w", stderr))
            _exit(99);
        load(&cfg, R_BROKER, flag, value);
        config_free(&cfg);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_wrong_values_end_with_status_2(void **state)
{
    static const struct {
        const char *flag, *value;
        int status;
    } rows[] = {
        {"--queue-limit", "10", 0},  {"--queue-limit", "0", 2},
        {"--queue-limit", "ten", 2}, {"--queue-limit", "10x", 2},
        {"--queue-limit", "", 2},    {"--queue-limit", "99999999999999999999", 2},
        {"--log-level", "debug", 0}, {"--log-level", "loud", 2},
        {"--log-level", "debu", 2},  {"--store", "sqlite:x", 2}, /* not a broker's setting */
        {"--nonsense", "1", 2},
    };

    (void)state;
    clear_environment();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (load_status(rows[i].flag, rows[i].value) != rows[i].status)
            fail_msg("%s %s", rows[i].flag, rows[i].value);
}

static void test_store_uri(void **state)
{
    static const struct {
        const char *env[4][2];
        const char *uri; /* NULL: refused */
    } rows[] = {
        {{{NULL}}, "sqlite:testflinger-data/testflinger.db"},
        {{{"TESTFLINGER_STORE", "sqlite:/x"}, {"MONGODB_URI", "mongodb://h/d"}}, "sqlite:/x"},
        {{{"MONGODB_URI", "mongodb://h/d"}}, "mongodb://h/d"},
        {{{"MONGODB_HOST", "h"}, {"MONGODB_DATABASE", "d"}}, "mongodb://h:27017/d"},
        {{{"MONGODB_HOST", "h"}}, NULL},
        {{{"MONGODB_DATABASE", "d"}}, NULL},
        {{{"MONGODB_HOST", "h"},
          {"MONGODB_DATABASE", "d"},
          {"MONGODB_USERNAME", "u@x"},
          {"MONGODB_PASSWORD", "p:/?#"}},
         "mongodb://u%40x:p%3A%2F%3F%23@h:27017/d?authSource=admin"},
    };

    (void)state;
    if (!freopen("/dev/null", "w", stderr))
        fail();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config cfg;
        char *uri = NULL;
        clear_environment();
        for (size_t k = 0; k < 4 && rows[i].env[k][0]; k++)
            setenv(rows[i].env[k][0], rows[i].env[k][1], 1);
        load(&cfg, R_WORKER, NULL, NULL);
        enum err e = config_store_uri(&cfg, &uri);
        assert_int_equal(e, rows[i].uri ? ERR_OK : ERR_INVALID);
        if (rows[i].uri)
            assert_string_equal(uri, rows[i].uri);
        free(uri);
        config_free(&cfg);
    }
    clear_environment();
}

static bool has(char **env, const char *prefix)
{
    for (; *env; env++)
        if (strncmp(*env, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static void env_free(char **env)
{
    for (size_t i = 0; env[i]; i++)
        free(env[i]);
    free(env);
}

static void test_roles_get_only_their_settings(void **state)
{
    struct config cfg;
    char **env;

    (void)state;
    clear_environment();
    setenv("MONGODB_PASSWORD", "secret", 1);
    setenv("TESTFLINGER_PROCESSES", "9", 1);
    load(&cfg, R_SERVER, "--store", "mongodb://u:p@h/d");
    env = config_environ(&cfg, R_FRONTEND);
    assert_false(has(env, "MONGODB_"));
    assert_false(has(env, "TESTFLINGER_STORE"));
    assert_false(has(env, "TESTFLINGER_PROCESSES"));
    assert_true(has(env, "TESTFLINGER_LISTEN=127.0.0.1:8000"));
    assert_true(has(env, "PATH="));
    env_free(env);
    env = config_environ(&cfg, R_WORKER);
    assert_true(has(env, "MONGODB_PASSWORD=secret"));
    assert_true(has(env, "TESTFLINGER_STORE=mongodb://u:p@h/d"));
    env_free(env);
    config_free(&cfg);
    clear_environment();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flag_wins_over_environment_over_default),
        cmocka_unit_test(test_what_was_given),
        cmocka_unit_test(test_wrong_values_end_with_status_2),
        cmocka_unit_test(test_store_uri),
        cmocka_unit_test(test_roles_get_only_their_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
