#include "common/mem.h"
#include "worker/events/lost_jobs.h"
#include "worker/jobs/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *state;
    int64_t global, reserve, length_ms;
    const char *comment;
} lengths[] = {
    {"running", 0, 0, 1000, "as set"},
    {"test", 50, 60, 1000, "the job's times do not count"},
    {"provision", 50, 60, 51000, "the job's own time on top"},
    {"provision", 0, 60, 4 * 3600 * 1000 + 1000, "what agents take by default"},
    {"provision", -5, 0, 4 * 3600 * 1000 + 1000, "no time at all"},
    {"reserve", 50, 60, 61000, "of the reservation"},
    {"reserve", 50, 0, 3600 * 1000 + 1000, "a reservation of the usual length"},
    {"provision", INT64_MAX, 0, 366LL * 86400 * 1000 + 1000, "bounded"},
};

static void test_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct lease_job job = {.state = lengths[i].state,
                                .global_timeout = lengths[i].global,
                                .reserve_timeout = lengths[i].reserve};
        if (lease_length_ms(&job, 1000) != lengths[i].length_ms)
            fail_msg("%s: %s", lengths[i].state, lengths[i].comment);
    }
}

/* At 10000, with a length of 1000. */
static const struct {
    const char *state, *owner, *agent;
    bool certain, exact, open;
    int64_t lease_ms;
    bool due;
    const char *comment;
} calls[] = {
    {"test", "a", "a", false, false, false, 10100, true, "less than half is left"},
    {"test", "a", "a", false, false, false, 10900, false, "more than half is left"},
    {"test", "a", "a", false, false, true, 10900, true, "its claim is to be closed"},
    {"test", "a", "a", false, true, false, 10900, true, "it may be longer now"},
    {"test", "a", "a", false, false, false, 0, true, "there is none yet"},
    {"test", "a", "a", false, false, false, 5000, true, "it has run out"},
    {"test", "a", "b", false, false, false, 0, false, "another agent asks"},
    {"test", "a", "b", true, false, false, 0, false, "another agent posts"},
    {"test", "a", NULL, false, false, false, 0, false, "somebody asks"},
    {"test", "a", NULL, true, false, false, 0, true, "some agent posts"},
    {"test", NULL, NULL, false, false, false, 0, true, "whoever asks may be its agent"},
    {"test", NULL, "b", false, false, false, 0, true, "likewise"},
    {"running", NULL, NULL, false, false, true, 10900, false,
     "its claim is not closed by just anyone"},
    {"waiting", NULL, "a", true, false, false, 0, false, "it waits"},
    {"cancelled", "a", "a", true, true, true, 0, false, "it is over"},
    {"complete", "a", "a", true, true, true, 0, false, "it is over"},
};

static struct text text_of(const char *s)
{
    return (struct text){s, s ? strlen(s) : 0};
}

static void test_due(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct lease_job job = {.state = calls[i].state,
                                .owner = text_of(calls[i].owner),
                                .lease_ms = calls[i].lease_ms,
                                .open = calls[i].open};
        struct lease_renewal r = {.agent = text_of(calls[i].agent),
                                  .certain = calls[i].certain,
                                  .exact = calls[i].exact,
                                  .now_ms = 10000,
                                  .length_ms = 1000};
        int64_t end_ms = 0;
        if (lease_is_due(&job, &r, &end_ms) != calls[i].due)
            fail_msg("row %zu: %s", i, calls[i].comment);
        if (calls[i].due)
            assert_int_equal(end_ms, 11000);
    }
}

static const struct {
    const char *setting, *queue;
    int64_t times;
} reruns[] = {
    {"", "a", 0},        {"a", "a", 1},
    {"a", "b", 0},       {"a", "", 0},
    {"b,a=3,c", "a", 3}, {"b,a=3,c", "c", 1},
    {"b,a=3,c", "b", 1}, {"a=0", "a", 0},
    {"x=y=2", "x=y", 2}, {"a b=10,a b2", "a b", 10},
};

static const struct {
    const char *setting;
    bool fine;
} settings[] = {
    {"", true},      {"a", true},   {"a=1,b", true}, {"a=10", true},  {"a=11", false},
    {"a=-1", false}, {"a=", false}, {"a=x", false},  {"a=1x", false}, {",a", false},
    {"a,,b", false}, {"=1", false}, {"a=1 ", false},
};

static void test_setting(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reruns / sizeof *reruns; i++)
        if (lost_jobs_reruns_of(reruns[i].setting, reruns[i].queue) != reruns[i].times)
            fail_msg("%s, %s", reruns[i].setting, reruns[i].queue);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        struct config cfg = {.rerun_queues = mem_strdup(settings[i].setting)};
        if (lost_jobs_check(&cfg) != settings[i].fine)
            fail_msg("%s", settings[i].setting);
        free(cfg.rerun_queues);
    }
}

static const struct {
    const char *agent, *owner;
    int64_t reruns;
    bool lost;
    const char *comment;
} losses[] = {
    {"a", "b", 1, true, "another one has it after a loss"},
    {"a", "a", 1, false, "got it again"},
    {"a", "b", 0, false, "never lost: whoever posts is believed"},
    {"a", NULL, 1, false, "nobody has it"},
    {NULL, "b", 1, false, "the post does not say whose it is"},
    {"", "b", 2, true, "an empty name is a name"},
    {"ab", "a", 1, true, "a name that begins as the owner's"},
};

static struct text text_or_none(const char *s)
{
    return (struct text){s, s ? strlen(s) : 0};
}

static void test_lost_by(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (lease_lost_by(text_or_none(losses[i].agent), text_or_none(losses[i].owner),
                          losses[i].reruns) != losses[i].lost)
            fail_msg("%s", losses[i].comment);
}

/* Also the documents of other servers, in which any number may stand. */
static void test_end_of_a_reservation(void **state)
{
    (void)state;
    assert_int_equal(lease_reserved_ms("reserve", 5000, 60), 65000);
    assert_int_equal(lease_reserved_ms("reserve", 5000, 0), 5000 + RESERVE_DEFAULT * 1000);
    assert_int_equal(lease_reserved_ms("reserve", 5000, INT64_MIN), 5000 + RESERVE_DEFAULT * 1000);
    assert_int_equal(lease_reserved_ms("reserve", 5000, INT64_MAX), 5000 + 366LL * 86400 * 1000);
    assert_int_equal(lease_reserved_ms("reserve", 0, 60), 0);
    assert_int_equal(lease_reserved_ms("test", 5000, 60), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_setting),
        cmocka_unit_test(test_lost_by),
        cmocka_unit_test(test_end_of_a_reservation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
