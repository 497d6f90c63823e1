#include "common/prefork.h"

#include "common/clock.h"
#include "common/log.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Children tell through a pipe what happens to them. */
struct event {
    char what; /* 'b' begins, 'e' ends by its stop signal */
    unsigned slot;
    pid_t pid;
};

static int events[2];
static pid_t running; /* the test's master; 0: none */

static void tell(char what, unsigned slot)
{
    struct event e = {what, slot, getpid()};
    ssize_t n = write(events[1], &e, sizeof e);
    (void)n;
}

static int child_waits(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    struct pollfd fd = {stop_fd, POLLIN, 0};

    (void)cfg;
    (void)arg;
    tell('b', slot);
    poll(&fd, 1, 20000);
    tell('e', slot);
    return 0;
}

static int child_refuses(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    (void)cfg;
    (void)stop_fd;
    (void)arg;
    return slot == 1 ? EXIT_BAD_SETTING : child_waits(cfg, slot, stop_fd, arg);
}

static int child_hangs(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    (void)cfg;
    (void)stop_fd;
    (void)arg;
    tell('b', slot);
    sleep(20);
    return 0;
}

static pid_t start_with_special(int (*child)(const struct config *, unsigned, int, void *),
                                int64_t processes, unsigned special)
{
    struct config cfg = {.processes = processes, .grace = 1};
    struct prefork p = {.role = "test", .special = special, .child = child};

    assert_int_equal(pipe(events), 0);
    pid_t pid = fork();
    if (pid == 0) {
        log_setup("test", LOG_TEXT, LOG_ERROR);
        close(events[0]);
        _exit(prefork_run(&cfg, &p));
    }
    close(events[1]);
    running = pid;
    return pid;
}

static pid_t start_master(int (*child)(const struct config *, unsigned, int, void *),
                          int64_t processes)
{
    return start_with_special(child, processes, 0);
}

/* The next event of this kind within five seconds. */
static struct event expect(char what)
{
    struct pollfd fd = {events[0], POLLIN, 0};
    struct event e = {0};

    while (poll(&fd, 1, 5000) == 1 && read(events[0], &e, sizeof e) == sizeof e)
        if (e.what == what)
            return e;
    fail_msg("no event '%c' came", what);
    return e;
}

static int wait_status(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    running = 0;
    close(events[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* After a test that failed: its master, and with it the children. */
static int end_master(void **state)
{
    (void)state;
    if (running) {
        kill(running, SIGKILL);
        wait_status(running);
    }
    return 0;
}

static void test_replaces_a_killed_child_in_its_slot(void **state)
{
    pid_t master = start_master(child_waits, 2);
    struct event a = expect('b'), b = expect('b');

    (void)state;
    assert_int_equal(a.slot + b.slot, 1);
    kill(b.pid, SIGKILL);
    struct event again = expect('b');
    assert_int_equal(again.slot, b.slot);
    assert_int_not_equal(again.pid, b.pid);
    kill(master, SIGTERM);
    expect('e');
    expect('e');
    assert_int_equal(wait_status(master), 0);
}

static void test_hup_replaces_every_child(void **state)
{
    pid_t master = start_master(child_waits, 2);

    (void)state;
    expect('b');
    expect('b');
    kill(master, SIGHUP);
    for (int i = 0; i < 2; i++) {
        struct event end = expect('e'), begin = expect('b');
        assert_int_equal(begin.slot, end.slot);
    }
    kill(master, SIGTERM);
    assert_int_equal(wait_status(master), 0);
}

static void test_one_more_one_less(void **state)
{
    pid_t master = start_master(child_waits, 1);

    (void)state;
    expect('b');
    kill(master, SIGTTIN);
    assert_int_equal(expect('b').slot, 1);
    kill(master, SIGTTOU);
    assert_int_equal(expect('e').slot, 1);
    kill(master, SIGTERM);
    assert_int_equal(expect('e').slot, 0);
    assert_int_equal(wait_status(master), 0);
}

/* Special children have slots of their own, are replaced, and are as many whatever comes. */
static void test_special_children(void **state)
{
    pid_t master = start_with_special(child_waits, 1, 2);
    unsigned slots = 0;
    struct event e = {0};

    (void)state;
    for (int i = 0; i < 3; i++) { /* in any order */
        struct event begin = expect('b');
        slots += begin.slot >= PREFORK_CHILDREN_MAX;
        if (begin.slot >= e.slot)
            e = begin;
    }
    assert_int_equal(slots, 2);
    assert_int_equal(e.slot, PREFORK_CHILDREN_MAX + 1);
    kill(e.pid, SIGKILL);
    assert_int_equal(expect('b').slot, e.slot);
    kill(master, SIGTTIN);
    assert_int_equal(expect('b').slot, 1);
    kill(master, SIGTTOU);
    assert_int_equal(expect('e').slot, 1);
    kill(master, SIGHUP);
    for (int i = 0; i < 3; i++) {
        struct event end = expect('e');
        assert_int_equal(expect('b').slot, end.slot);
    }
    kill(master, SIGTERM);
    assert_int_equal(wait_status(master), 0);
}

static void test_bad_setting_ends_the_master(void **state)
{
    (void)state;
    assert_int_equal(wait_status(start_master(child_refuses, 2)), EXIT_BAD_SETTING);
}

static void test_child_that_overstays_is_killed(void **state)
{
    pid_t master = start_master(child_hangs, 1);
    struct event e = expect('b');
    int64_t before = clock_mono_ms();

    (void)state;
    kill(master, SIGTERM);
    assert_int_equal(wait_status(master), 0);
    assert_true(clock_mono_ms() - before < 4000);
    assert_int_equal(kill(e.pid, 0), -1);
}

static void test_children_die_with_their_master(void **state)
{
    pid_t master = start_master(child_waits, 1);
    struct pollfd fd = {events[0], POLLIN, 0};
    char c;

    (void)state;
    expect('b');
    kill(master, SIGKILL);
    /* The pipe closes when the child, its last writer, is gone. */
    assert_int_equal(poll(&fd, 1, 5000), 1);
    assert_int_equal(read(events[0], &c, 1), 0);
    assert_int_equal(wait_status(master), -SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_replaces_a_killed_child_in_its_slot, end_master),
        cmocka_unit_test_teardown(test_hup_replaces_every_child, end_master),
        cmocka_unit_test_teardown(test_one_more_one_less, end_master),
        cmocka_unit_test_teardown(test_special_children, end_master),
        cmocka_unit_test_teardown(test_bad_setting_ends_the_master, end_master),
        cmocka_unit_test_teardown(test_child_that_overstays_is_killed, end_master),
        cmocka_unit_test_teardown(test_children_die_with_their_master, end_master),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
