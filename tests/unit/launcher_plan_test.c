#include "deploy/launcher/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A row of test_check changes a valid configuration so. */
struct change {
    const char *listen, *bus, *uri;
    int64_t brokers, workers, frontends;
    bool insecure;
    const char *says; /* part of the reason; NULL: valid */
};

#define LONG_BUS                                                                                   \
    "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxx"
#define HERE "127.0.0.1:8000"

static void test_check(void **state)
{
    static const struct change rows[] = {
        {HERE, "", "sqlite:x", 1, 1, 1, false, NULL},
        {HERE, "/run/bus", "sqlite:x", 1, 1, 1, false, NULL},
        {HERE, "tcp://127.0.0.1:1", "mongodb://h/d", 16, 1, 1, false, NULL},
        {HERE, "", "mongodb+srv://h/d", 1, 1, 1, false, NULL},
        {"none", "", "sqlite:x", 1, 1, 1, false, "listen: 'none'"},
        {"none", "/run/bus", "sqlite:x", 1, 1, 0, false, NULL},
        {HERE, "", "sqlite:x", 0, 0, 0, false, "nothing to start"},
        {HERE, "", "sqlite:x", 0, 1, 1, false, "--brokers 0"},
        {HERE, "", "sqlite:x", 1, 0, 1, false, "--workers 0"},
        {HERE, "", "sqlite:x", 1, 1, 0, false, "--frontends 0"},
        {HERE, "/run/bus", "sqlite:x", 0, 1, 1, false, NULL},
        {HERE, LONG_BUS, "sqlite:x", 1, 1, 1, false, "bus: '/xxx"},
        {HERE, "udp://x:1", "sqlite:x", 1, 1, 1, false, "bus: 'udp"},
        {HERE, "tcp://10.0.0.1", "sqlite:x", 1, 1, 1, false, "bus: 'tcp"},
        {HERE, "tcp://10.0.0.1:1", "sqlite:x", 1, 1, 1, false, "without keys"},
        {HERE, "tcp://10.0.0.1:1", "sqlite:x", 1, 1, 1, true, "auth: "},
        {HERE, "tcp://10.0.0.1:1", "sqlite:x", 1, 0, 1, true, NULL},
        {HERE, "", "sqlite:", 1, 1, 1, false, "store: sqlite:"},
        {HERE, "", "redis://u:pw@h", 1, 1, 1, false, "store: "},
        {HERE, "/run/bus", "redis://h", 1, 0, 1, false, NULL},
    };
    char reason[PLAN_REASON_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct change *row = &rows[i];
        char listen[64], bus[128], key[] = "";
        snprintf(listen, sizeof listen, "%s", row->listen);
        snprintf(bus, sizeof bus, "%s", row->bus);
        struct config cfg = {.listen = listen,
                             .bus = bus,
                             .bus_key = key,
                             .bus_insecure = row->insecure,
                             .brokers = row->brokers,
                             .workers = row->workers,
                             .frontends = row->frontends};
        *reason = '\0';
        enum err e = plan_check(&cfg, row->uri, reason);
        if (e != (row->says ? ERR_INVALID : ERR_OK) || (row->says && !strstr(reason, row->says)))
            fail_msg("row %zu: %s", i, reason);
        assert_null(strstr(reason, "pw"));
        assert_null(strchr(reason, '\n'));
    }
}

static void expect_args(const struct config *cfg, enum plan_role_id role, const char *const *want)
{
    struct plan_args args;
    size_t i = 0;

    plan_args(cfg, role, &args);
    for (; want[i]; i++)
        assert_string_equal(args.argv[i], want[i]);
    assert_null(args.argv[i]);
}

static void test_args(void **state)
{
    struct config cfg = {.brokers = 2, .workers = 3, .frontends = 4, .webhooks = 5};
    const char *const broker[] = {"testflinger-broker", "--processes", "2", NULL};
    const char *const worker[] = {"testflinger-worker", "--processes", "3", NULL};
    const char *const frontend[] = {"testflinger-frontend", "--processes", "4", NULL};
    const char *const webhook[] = {"testflinger-webhook", "--processes", "5", NULL};
    const char *const remote[] = {"testflinger-worker", "--processes", "3", "--brokers", "1", NULL};
    const char *const events[] = {"testflinger-webhook", "--processes", "5",
                                  "--brokers",           "1",           NULL};

    (void)state;
    expect_args(&cfg, PLAN_BROKER, broker);
    expect_args(&cfg, PLAN_WORKER, worker);
    expect_args(&cfg, PLAN_FRONTEND, frontend);
    expect_args(&cfg, PLAN_WEBHOOK, webhook);
    cfg.brokers = 0; /* there is one elsewhere */
    expect_args(&cfg, PLAN_WORKER, remote);
    expect_args(&cfg, PLAN_WEBHOOK, events);
}

static void test_sqlite_path(void **state)
{
    (void)state;
    assert_string_equal(plan_sqlite_path("sqlite:/a/b"), "/a/b");
    assert_null(plan_sqlite_path("mongodb://h/d"));
    assert_null(plan_sqlite_path("sqlite"));
}

static void test_backoff(void **state)
{
    static const int64_t pauses[] = {0, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    unsigned deaths = 0;

    (void)state;
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++)
        assert_int_equal(plan_backoff(10, &deaths), pauses[i]);
    deaths = UINT32_MAX - 1; /* counts on without overflow of the pause */
    assert_int_equal(plan_backoff(10, &deaths), 5000);
    assert_int_equal(plan_backoff(60000, &deaths), 0);
    assert_int_equal(deaths, 0);
    assert_int_equal(plan_backoff(10, &deaths), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_args),
        cmocka_unit_test(test_sqlite_path),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
