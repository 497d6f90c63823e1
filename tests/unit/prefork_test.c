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
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Children report their events through a pipe. */
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
    prefork_ready();
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

/* A child that is ready once the test sends USR2. */
static int child_gets_ready_late(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    sigset_t usr2;
    int signo;

    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr2, NULL);
    tell('b', slot);
    sigwait(&usr2, &signo);
    prefork_ready();
    (void)cfg;
    (void)arg;
    poll(&(struct pollfd){stop_fd, POLLIN, 0}, 1, 20000);
    tell('e', slot);
    return 0;
}

/* A child that continues after PREFORK_RETIRE. */
static int child_tells_signals(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    struct signalfd_siginfo told = {0};
    struct pollfd fd = {stop_fd, POLLIN, 0};

    (void)cfg;
    (void)arg;
    tell('b', slot);
    prefork_ready();
    while (told.ssi_signo != SIGTERM && poll(&fd, 1, 20000) == 1)
        if (read(stop_fd, &told, sizeof told) == sizeof told)
            tell(told.ssi_signo == SIGTERM ? 'e' : 'r', slot);
    return 0;
}

static pid_t start(const struct prefork *p, int64_t processes)
{
    struct config cfg = {.processes = processes, .grace = 1, .reload_timeout = 60, .watchdog = 30};

    assert_int_equal(pipe(events), 0);
    pid_t pid = fork();
    if (pid == 0) {
        log_setup("test", LOG_TEXT, LOG_ERROR);
        close(events[0]);
        _exit(prefork_run(&cfg, p));
    }
    close(events[1]);
    running = pid;
    return pid;
}

static pid_t start_master(int (*child)(const struct config *, unsigned, int, void *),
                          int64_t processes)
{
    return start(&(struct prefork){.child = child}, processes);
}

/* The next event within five seconds. */
static struct event next_event(void)
{
    struct pollfd fd = {events[0], POLLIN, 0};
    struct event e = {0};

    if (poll(&fd, 1, 5000) != 1 || read(events[0], &e, sizeof e) != sizeof e)
        fail_msg("no event came");
    return e;
}

/* The next event of this kind. */
static struct event expect(char what)
{
    struct event e;

    do
        e = next_event();
    while (e.what != what);
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

/* Ends the master of a failed test, and with it the children. */
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
    int serve = 2, began = 0, ended = 0;
    while (ended < 2) { /* a new child starts before an old one ends */
        struct event e = next_event();
        began += e.what == 'b';
        ended += e.what == 'e';
        serve += e.what == 'b' ? 1 : -1;
        assert_true(serve >= 2);
        assert_true(e.what == 'e' ? e.slot < 2 : e.slot != 1);
    }
    assert_int_equal(began, 2);
    kill(master, SIGTERM);
    assert_int_equal(wait_status(master), 0);
}

/* A child whose slot is its address ends before the next one begins in it. */
static void test_hup_with_fixed_slots(void **state)
{
    pid_t master = start(&(struct prefork){.child = child_waits, .fixed_slots = true}, 1);

    (void)state;
    assert_int_equal(expect('b').slot, 0);
    kill(master, SIGHUP);
    assert_int_equal(next_event().what, 'e');
    assert_int_equal(expect('b').slot, 0);
    kill(master, SIGTERM);
    assert_int_equal(wait_status(master), 0);
}

/* The old child serves until the new one does, also when that one dies first. */
static void test_hup_waits_for_the_new_child(void **state)
{
    pid_t master = start(&(struct prefork){.child = child_gets_ready_late}, 1);

    (void)state;
    struct event old = expect('b');
    kill(old.pid, SIGUSR2); /* it is ready */
    kill(master, SIGHUP);
    struct event next = next_event();
    assert_int_equal(next.what, 'b');
    kill(next.pid, SIGKILL);
    next = next_event();
    assert_int_equal(next.what, 'b');
    assert_int_equal(poll(&(struct pollfd){events[0], POLLIN, 0}, 1, 500), 0);
    kill(next.pid, SIGUSR2);
    assert_int_equal(next_event().pid, old.pid);
    kill(master, SIGTERM);
    assert_int_equal(expect('e').pid, next.pid);
    assert_int_equal(wait_status(master), 0);
}

/* With `retire`, the old child may finish its work, and gets TERM when the master ends. */
static void test_retiring_children(void **state)
{
    pid_t master = start(&(struct prefork){.child = child_tells_signals, .retire = true}, 1);

    (void)state;
    struct event old = expect('b');
    kill(master, SIGHUP);
    struct event next = expect('b');
    assert_int_equal(expect('r').pid, old.pid);
    kill(master, SIGTERM);
    pid_t ended[2] = {expect('e').pid, expect('e').pid};
    assert_true((ended[0] == old.pid && ended[1] == next.pid) ||
                (ended[0] == next.pid && ended[1] == old.pid));
    assert_int_equal(wait_status(master), 0);
}

/* Reloads in a row do not pile up children that retire. */
static void test_many_reloads(void **state)
{
    pid_t master = start(&(struct prefork){.child = child_tells_signals, .retire = true}, 1);
    pid_t first = expect('b').pid;

    (void)state;
    for (int i = 0; i < 4; i++) {
        kill(master, SIGHUP);
        expect('b');
        expect('r');
    }
    kill(master, SIGHUP);
    assert_int_equal(expect('e').pid, first);
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

/* Special children have their own slots and are replaced one for one. */
static void test_special_children(void **state)
{
    pid_t master = start(&(struct prefork){.child = child_waits, .special = 2}, 1);
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
    int special = 2, ended = 0;
    while (ended < 3) {
        e = next_event();
        ended += e.what == 'e';
        if (e.slot >= PREFORK_CHILDREN_MAX)
            special += e.what == 'b' ? 1 : -1;
        assert_true(special >= 2 && e.slot < PREFORK_CHILDREN_MAX + 4);
    }
    assert_int_equal(special, 2);
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

static void pause_ms(int ms)
{
    poll(NULL, 0, ms);
}

static void test_child_that_is_stopped_is_replaced(void **state)
{
    pid_t master = start_master(child_waits, 2);
    struct event a = expect('b');

    (void)state;
    expect('b');
    int64_t before = clock_mono_ms();
    kill(a.pid, SIGSTOP);
    struct event again = next_event();
    assert_true(clock_mono_ms() - before >= 1000);
    assert_true(again.what == 'b' && again.slot == a.slot);
    kill(master, SIGTERM);
    assert_int_equal(wait_status(master), 0);
}

/* The master keeps a child that is stopped repeatedly for less than a second, or together with the
 * master, which continues first. */
static void test_child_that_is_stopped_shortly_stays(void **state)
{
    pid_t master = start_master(child_waits, 1);
    struct event e = expect('b');

    (void)state;
    for (int i = 0; i < 6; i++) {
        kill(e.pid, SIGSTOP);
        pause_ms(300);
        kill(e.pid, SIGCONT);
        pause_ms(50);
    }
    kill(e.pid, SIGSTOP);
    pause_ms(100);
    kill(master, SIGSTOP);
    pause_ms(2500);
    kill(master, SIGCONT);
    pause_ms(200);
    kill(e.pid, SIGCONT);
    assert_int_equal(poll(&(struct pollfd){events[0], POLLIN, 0}, 1, 1500), 0);
    kill(master, SIGTERM);
    assert_int_equal(expect('e').pid, e.pid);
    assert_int_equal(wait_status(master), 0);
}

static void test_child_in_a_debugger_stays(void **state)
{
    pid_t master = start_master(child_waits, 1);
    struct event e = expect('b');
    int status;

    (void)state;
    assert_int_equal(ptrace(PTRACE_ATTACH, e.pid, NULL, NULL), 0);
    assert_int_equal(waitpid(e.pid, &status, 0), e.pid);
    assert_int_equal(poll(&(struct pollfd){events[0], POLLIN, 0}, 1, 1500), 0);
    assert_int_equal(ptrace(PTRACE_DETACH, e.pid, NULL, NULL), 0);
    kill(master, SIGTERM);
    assert_int_equal(expect('e').pid, e.pid);
    assert_int_equal(wait_status(master), 0);
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
        cmocka_unit_test_teardown(test_hup_with_fixed_slots, end_master),
        cmocka_unit_test_teardown(test_hup_waits_for_the_new_child, end_master),
        cmocka_unit_test_teardown(test_retiring_children, end_master),
        cmocka_unit_test_teardown(test_many_reloads, end_master),
        cmocka_unit_test_teardown(test_one_more_one_less, end_master),
        cmocka_unit_test_teardown(test_special_children, end_master),
        cmocka_unit_test_teardown(test_bad_setting_ends_the_master, end_master),
        cmocka_unit_test_teardown(test_child_that_overstays_is_killed, end_master),
        cmocka_unit_test_teardown(test_child_that_is_stopped_is_replaced, end_master),
        cmocka_unit_test_teardown(test_child_that_is_stopped_shortly_stays, end_master),
        cmocka_unit_test_teardown(test_child_in_a_debugger_stays, end_master),
        cmocka_unit_test_teardown(test_children_die_with_their_master, end_master),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
