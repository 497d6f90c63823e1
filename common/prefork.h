/* The pre-fork server that every role is: a master that forks children and looks after them.
 *
 * Signals to the master: TERM, INT: drain (children get TERM and the grace time, then KILL);
 * HUP: replace the children one by one: a new one serves before its predecessor is told to end;
 * TTIN, TTOU: one child more, one less.
 * A child that dies is replaced, with a growing pause while children die young; one that ends with
 * EXIT_BAD_SETTING ends the master with that status. Children get KILL when the master dies, and
 * when they have been stopped (SIGSTOP) for a second while the master ran, unless --watchdog is 0.
 * With `beats`, one whose loop does not turn for --watchdog seconds is ended by SIGABRT, which logs
 * its stack (stack.h), or KILL, and replaced; one that accepts nothing for that time although
 * connections wait is told to end. */
#ifndef COMMON_PREFORK_H
#define COMMON_PREFORK_H

#include "common/config.h"

#include <stdbool.h>

struct prefork {
    const char *role;
    unsigned children_max; /* TTIN stops here; 0: PREFORK_CHILDREN_MAX */
    unsigned special;      /* further children, at most PREFORK_SPECIAL_MAX, always as many: their
                              slots are PREFORK_CHILDREN_MAX and up */
    /* The slot is the child's address, which two cannot have: HUP ends the old child first. */
    bool fixed_slots;
    /* HUP tells the old child by PREFORK_RETIRE, not by TERM; it has --reload-timeout seconds, and
     * the grace time from a TERM that comes later. */
    bool retire;
    void *arg; /* for `child` */
    /* Runs one child until it is told to end; returns its exit status. It calls prefork_ready().
     * `slot` is a number that no other living child has; a child that died is replaced in its
     * slot. Signals TERM, INT and PREFORK_RETIRE are blocked and readable on `stop_fd`. */
    int (*child)(const struct config *cfg, unsigned slot, int stop_fd, void *arg);
    /* With a metrics port, one more child runs this. NULL: there is none. */
    int (*monitor)(const struct config *cfg, int stop_fd, void *arg);
    /* At HUP, before children are replaced: reads files anew that they inherit. NULL: none. */
    void (*reload)(const struct config *cfg, void *arg);
    /* All children but the monitor call beat_turn() at least every BEAT_MS, except in calls of the
     * store: these end within `longest_call_s` or are excused (beat_excused). */
    bool beats;
    unsigned longest_call_s; /* 0: the children wait for no store */
    /* Whether connections wait to be accepted by a child; NULL: children accept none. */
    bool (*waits)(void *arg);
};

#define PREFORK_CHILDREN_MAX 256
#define PREFORK_SPECIAL_MAX  16
/* HUP gives special children successors in further slots. */
#define PREFORK_SLOTS_MAX (PREFORK_CHILDREN_MAX + 2 * PREFORK_SPECIAL_MAX)

#define PREFORK_RETIRE SIGUSR1

/* In a child: it serves now, so that HUP may end its predecessor. May be called again. */
void prefork_ready(void);

/* Runs the master; returns its exit status. Call it before any thread, ZeroMQ context, event base
 * or database client is made. */
int prefork_run(const struct config *cfg, const struct prefork *p);

#endif
