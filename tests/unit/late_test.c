#include "common/late.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { PATIENCE_MS = 1000, SHORT_MS = 100, LONG_MS = 1500 };

/* Runs `child` in a process, which is stopped for `pause_ms` each time it stops itself; returns its
 * exit status. */
static int run(int (*child)(void), unsigned pause_ms)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child());
    while (waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status)) {
        usleep(pause_ms * 1000);
        kill(pid, SIGCONT);
    }
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int stopped(void)
{
    late_watch(PATIENCE_MS);
    if (late_found())
        return 1;
    raise(SIGSTOP);
    if (!late_found() || !late_found()) /* until it is over */
        return 2;
    late_over();
    if (late_found())
        return 3;
    raise(SIGSTOP);
    return late_found() ? 0 : 4;
}

static int stopped_shortly(void)
{
    late_watch(PATIENCE_MS);
    raise(SIGSTOP);
    return late_found();
}

/* A long call does not count as a pause. */
static int busy(void)
{
    late_watch(PATIENCE_MS);
    usleep(LONG_MS * 1000);
    return late_found();
}

static int not_watched(void)
{
    raise(SIGSTOP);
    return late_found();
}

static void test_pauses(void **state)
{
    (void)state;
    assert_int_equal(run(stopped, LONG_MS), 0);
    assert_int_equal(run(stopped_shortly, SHORT_MS), 0);
    assert_int_equal(run(busy, 0), 0);
    assert_int_equal(run(not_watched, LONG_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pauses)};

    return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
