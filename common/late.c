#include "common/late.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { TICK_MS = 250 };

static int64_t patience; /* ms; 0: late_watch was not called */
static _Atomic int64_t ticked, pause_found;

static int64_t now_ms(void)
{
    return clock_boot_us() / 1000;
}

/* Both threads check: either may be the first to run after a pause. */
static void look(int64_t now)
{
    int64_t gap = now - ticked;

    if (gap > patience)
        pause_found = gap;
}

static void *tick(void *arg)
{
    const struct timespec pause = {.tv_nsec = TICK_MS * 1000000L};

    for (;;) {
        int64_t now = now_ms();
        look(now); /* before `ticked` is set: late_found must not miss the pause */
        ticked = now;
        nanosleep(&pause, NULL);
    }
    return arg;
}

void late_watch(int64_t patience_ms)
{
    sigset_t all, before;
    pthread_t thread;

    if (patience)
        return;
    ticked = now_ms();
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    patience = patience_ms;
    int e = pthread_create(&thread, NULL, tick, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        log_error("cannot start a thread: %s; requests may run twice after this process was "
                  "stopped, check the limits of threads and memory",
                  strerror(e));
        patience = 0;
        return;
    }
    pthread_detach(thread);
}

bool late_found(void)
{
    if (!patience)
        return false;
    if (!pause_found)
        look(now_ms());
    return pause_found != 0;
}

void late_over(void)
{
    log_warn("did not run for %.1f s: dropped the requests received before and rejoined the bus. "
             "If nobody stopped or suspended the process, give the machine more processor or "
             "memory",
             (double)pause_found / 1000);
    metric_add(M_LATE, 0, 1);
    ticked = now_ms();
    pause_found = 0;
}
