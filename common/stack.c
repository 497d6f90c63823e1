#include "common/stack.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FRAMES_MAX = 64 };

/* Only what is safe in a signal handler; SIGABRT then takes its default action. */
static void on_abort(int signo)
{
    static const char title[] = "stack of the process that is aborted:\n";
    void *frames[FRAMES_MAX];

    if (write(STDERR_FILENO, title, strlen(title)) > 0)
        backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
    raise(signo);
}

void stack_on_abort(void)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
    void *frame;

    backtrace(&frame, 1); /* its first call loads a library, which a handler must not */
    sigaction(SIGABRT, &action, NULL);
}
