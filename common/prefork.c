#include "common/prefork.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/stack.h"
#include "common/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    YOUNG_MS = 2000, /* a child that dies younger than this counts as failing to start */
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000,
    ABORT_MS = 1000,   /* for a child that hangs to log its stack; then KILL */
    STOPPED_MS = 1000, /* a child that is stopped for so long is killed */
    ROLL_MS = 20,      /* between two looks while children are being replaced */
    RETIRING_MAX =
        4, /* with `retire`: beyond this, and beyond the children wanted, they get TERM */
    SLOTS = PREFORK_SLOTS_MAX + 1 /* with the monitor */
};

enum stage {
    SERVING,
    RETIRING, /* it got PREFORK_RETIRE */
    ENDING,   /* it got TERM */
    HUNG      /* the watchdog gave it ABRT: it is replaced as one that died */
};

struct slot {
    pid_t pid;          /* 0: empty */
    bool wanted;        /* a child belongs here */
    bool old;           /* HUP: to be replaced */
    unsigned successor; /* slot of the child that replaces it, when not `wanted`; else its own */
    enum stage stage;
    int64_t started;    /* ms, monotonic */
    int64_t kill_at;    /* unless SERVING */
    int64_t stopped;    /* since when SIGSTOP or the like stops it, ms, monotonic; 0: it runs */
    int64_t not_before; /* back-off: no new child before this time */
    int64_t backoff;
    struct watchdog watchdog;
};

struct master {
    const struct config *cfg;
    const struct prefork *p;
    struct slot slots[SLOTS];
    unsigned max;     /* slots of ordinary children */
    unsigned total;   /* with those of the special ones and their successors, and the monitor */
    unsigned monitor; /* its slot; SLOTS: there is none */
    bool stopping;
    int status;
    int signal_fd;
    int64_t looked; /* the watchdog, last */
    sigset_t inherited;
};

/* By slot: whether its child serves. Shared with the children. */
static _Atomic bool *ready;
static unsigned own_slot;

void prefork_ready(void)
{
    if (ready)
        atomic_store(&ready[own_slot], true);
}

static int run_child(struct master *m, unsigned slot, pid_t parent)
{
    sigset_t stop, mask = m->inherited;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before prctl */
        return 1;
    close(m->signal_fd);
    own_slot = slot;
    metrics_use(slot);
    beat_use(slot);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    /* The master's other signals mean nothing here: HUP must not end a child. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    sigaddset(&stop, PREFORK_RETIRE);
    stack_on_abort();
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, PREFORK_RETIRE);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    int fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        log_error("cannot read signals (signalfd): %s; check the limit of open files",
                  strerror(errno));
        return 1;
    }
    int status = slot == m->monitor ? m->p->monitor(m->cfg, fd, m->p->arg)
                                    : m->p->child(m->cfg, slot, fd, m->p->arg);
    close(fd);
    return status;
}

static void start_child(struct master *m, unsigned i, int64_t now)
{
    struct slot *s = &m->slots[i];
    pid_t parent = getpid();

    atomic_store(&ready[i], false);
    pid_t pid = fork();

    if (pid == 0)
        exit(run_child(m, i, parent));
    if (pid < 0) {
        log_error("cannot fork a child: %s; trying again in a second; check the limits of "
                  "processes and memory",
                  strerror(errno));
        s->not_before = now + 1000;
        return;
    }
    s->pid = pid;
    s->old = false;
    s->stage = SERVING;
    s->successor = i;
    s->started = now;
    s->stopped = 0;
    s->watchdog = (struct watchdog){0};
    log_debug("child %u started, pid %d", i, (int)pid);
}

static void tell(struct master *m, struct slot *s, int64_t now)
{
    if (!s->pid || s->stage == ENDING || s->stage == HUNG)
        return;
    kill(s->pid, SIGTERM);
    s->stage = ENDING;
    s->kill_at = now + m->cfg->grace * 1000;
}

/* As tell(), where `retire` allows with more time. */
static void retire(struct master *m, struct slot *s, int64_t now)
{
    if (!m->p->retire || s->stage != SERVING) {
        tell(m, s, now);
        return;
    }
    kill(s->pid, PREFORK_RETIRE);
    s->stage = RETIRING;
    s->kill_at = now + m->cfg->reload_timeout * 1000;
}

static void stop_all(struct master *m, int64_t now)
{
    m->stopping = true;
    for (unsigned i = 0; i < m->total; i++) {
        m->slots[i].wanted = false;
        tell(m, &m->slots[i], now);
    }
}

/* Sets the pause before the slot's next child. */
static void back_off(struct slot *s, unsigned i, int wstatus, int64_t now)
{
    bool young = now - s->started < YOUNG_MS;

    s->backoff = !young ? 0 : s->backoff ? s->backoff * 2 : BACKOFF_MS;
    if (s->backoff > BACKOFF_MAX_MS)
        s->backoff = BACKOFF_MAX_MS;
    /* The first early death is made good at once: one kill must not cost a pause. */
    s->not_before = s->backoff > BACKOFF_MS ? now + s->backoff : now;
    if (WIFSIGNALED(wstatus))
        log_warn("child %u (pid %d) was ended by signal %d; starting another", i, (int)s->pid,
                 WTERMSIG(wstatus));
    else
        log_warn("child %u (pid %d) ended with status %d; starting another", i, (int)s->pid,
                 WEXITSTATUS(wstatus));
}

static void child_ended(struct master *m, pid_t pid, int wstatus, int64_t now)
{
    for (unsigned i = 0; i < m->total; i++) {
        struct slot *s = &m->slots[i];
        if (s->pid != pid)
            continue;
        if (WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == EXIT_BAD_SETTING && !m->stopping) {
            m->status = EXIT_BAD_SETTING;
            stop_all(m, now);
        } else if (s->wanted && (s->stage == SERVING || s->stage == HUNG)) {
            back_off(s, i, wstatus, now);
            metric_add(M_RESTARTS, 0, 1);
        }
        metrics_forget(i);
        beat_forget(i);
        s->pid = 0;
        s->old = false;
        return;
    }
}

/* Not told of children that a debugger stops. */
static void child_stopped(struct master *m, pid_t pid, bool stopped, int64_t now)
{
    for (unsigned i = 0; i < m->total; i++)
        if (m->slots[i].pid == pid)
            m->slots[i].stopped = stopped ? now : 0;
}

static void reap(struct master *m, int64_t now)
{
    int wstatus;
    pid_t pid;

    while ((pid = waitpid(-1, &wstatus, WNOHANG | WUNTRACED | WCONTINUED)) > 0)
        if (WIFSTOPPED(wstatus) || WIFCONTINUED(wstatus))
            child_stopped(m, pid, WIFSTOPPED(wstatus), now);
        else
            child_ended(m, pid, wstatus, now);
}

/* A slot of this range without a child, now or soon; `end`: there is none. */
static unsigned free_slot(const struct master *m, unsigned begin, unsigned end)
{
    while (begin < end && (m->slots[begin].wanted || m->slots[begin].pid))
        begin++;
    return begin;
}

static unsigned wanted_children(const struct master *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->max; i++)
        n += m->slots[i].wanted;
    return n;
}

static void one_more(struct master *m)
{
    unsigned i = free_slot(m, 0, m->max);

    if (i < m->max)
        m->slots[i].wanted = true;
    else
        log_warn("TTIN is ignored: there are %u children, the most of this role", m->max);
}

static void one_less(struct master *m, int64_t now)
{
    unsigned i = m->max;

    if (wanted_children(m) < 2) {
        log_warn("TTOU is ignored: one child has to stay; send TERM to end the role");
        return;
    }
    while (!m->slots[--i].wanted)
        ;
    m->slots[i].wanted = false;
    tell(m, &m->slots[i], now);
}

static void on_signal(struct master *m, int signo, int64_t now)
{
    switch (signo) {
    case SIGTERM:
    case SIGINT:
        stop_all(m, now);
        break;
    case SIGHUP:
        if (m->p->reload)
            m->p->reload(m->cfg, m->p->arg);
        for (unsigned i = 0; i < m->total; i++)
            m->slots[i].old = m->slots[i].wanted && m->slots[i].pid;
        break;
    case SIGTTIN:
        one_more(m);
        break;
    case SIGTTOU:
        one_less(m, now);
        break;
    default: /* SIGCHLD: reaped each turn */
        break;
    }
}

/* ---- HUP: children are replaced one by one ---- */

/* With `retire`, many reloads in a row must not pile up children: the one told first gets TERM. */
static void bound_retiring(struct master *m, int64_t now)
{
    struct slot *first = NULL;
    unsigned n = 0;

    for (unsigned i = 0; i < m->max; i++) {
        struct slot *s = &m->slots[i];
        if (!s->pid || s->stage != RETIRING)
            continue;
        n++;
        if (!first || s->kill_at < first->kill_at)
            first = s;
    }
    if (n > RETIRING_MAX && n > wanted_children(m))
        tell(m, first, now);
}

/* Ends what has been replaced; true: one is being replaced, the next has to wait. */
static bool hand_over(struct master *m, int64_t now)
{
    bool busy = false;

    for (unsigned i = 0; i < m->total; i++) {
        struct slot *s = &m->slots[i], *next = &m->slots[s->successor];
        bool serves = s->pid && s->stage == SERVING && (i == m->monitor || atomic_load(&ready[i]));
        if (s->wanted) {
            busy |= !serves;
            continue;
        }
        if (!s->pid || s->stage != SERVING)
            continue;
        /* Without a successor (TTOU took it away) it ends as well. */
        if (!next->wanted || (next->pid && atomic_load(&ready[s->successor])))
            retire(m, s, now);
        else
            busy = true;
    }
    return busy;
}

/* The new child starts in a slot of its own and serves before the old one is told to end. Children
 * whose slot is their address, and those for whom no slot is free, end first. */
static void replace_old(struct master *m, unsigned i, int64_t now)
{
    struct slot *s = &m->slots[i];
    bool special = i >= PREFORK_CHILDREN_MAX;
    unsigned end = special ? PREFORK_CHILDREN_MAX + 2 * m->p->special : m->max;
    unsigned next = free_slot(m, special ? PREFORK_CHILDREN_MAX : 0, end);

    s->old = false;
    if (i == m->monitor || m->p->fixed_slots || next == end) {
        tell(m, s, now);
        return;
    }
    s->wanted = false;
    s->successor = next;
    m->slots[next].wanted = true;
    m->slots[next].not_before = m->slots[next].backoff = 0;
}

static void roll(struct master *m, int64_t now)
{
    if (m->stopping || hand_over(m, now))
        return;
    for (unsigned i = 0; i < m->total; i++)
        if (m->slots[i].old) {
            replace_old(m, i, now);
            break;
        }
    bound_retiring(m, now);
}

/* Whether roll() has something to do soon. */
static bool is_rolling(const struct master *m)
{
    for (unsigned i = 0; i < m->total; i++) {
        const struct slot *s = &m->slots[i];
        if (s->pid && s->stage == SERVING && (s->old || !s->wanted))
            return true;
    }
    return false;
}

/* Kills children that are stopped for too long: one that holds the lock of the SQLite file stops
 * all writers. Where the master did not run either (Ctrl-Z), the time counts anew. Returns when the
 * next is due. */
static int64_t kill_stopped(struct master *m, int64_t now)
{
    int64_t due = INT64_MAX;

    for (unsigned i = 0; m->cfg->watchdog && i < m->total; i++) {
        struct slot *s = &m->slots[i];
        if (!s->pid || !s->stopped)
            continue;
        if (now - s->stopped > 2 * STOPPED_MS)
            s->stopped = now;
        if (now - s->stopped >= STOPPED_MS) {
            log_warn("child %u (pid %d) has been stopped by a signal for %d ms; killing it, since "
                     "it may hold locks. Find out who sent SIGSTOP; to look into a process, attach "
                     "a debugger",
                     i, (int)s->pid, STOPPED_MS);
            kill(s->pid, SIGKILL);
            s->stopped = 0;
        } else if (s->stopped + STOPPED_MS < due) {
            due = s->stopped + STOPPED_MS;
        }
    }
    return due;
}

/* Starts what is missing, kills what overstays; returns ms until something is due, or -1. */
static int maintain(struct master *m, int64_t now, bool *busy)
{
    int64_t due = kill_stopped(m, now);

    roll(m, now);
    *busy = false;
    for (unsigned i = 0; i < m->total; i++) {
        struct slot *s = &m->slots[i];
        if (s->wanted && !s->pid && now >= s->not_before)
            start_child(m, i, now);
        if (s->pid && s->stage != SERVING && now >= s->kill_at) {
            if (s->stage != HUNG) {
                log_warn("child %u (pid %d) did not end within %s; killing it", i, (int)s->pid,
                         s->stage == ENDING ? "the grace time" : "--reload-timeout");
                s->stage = ENDING;
            }
            kill(s->pid, SIGKILL);
            s->kill_at = now + 1000;
        }
        *busy |= s->pid != 0 || s->wanted;
        if (s->wanted && !s->pid && s->not_before < due)
            due = s->not_before;
        if (s->pid && s->stage != SERVING && s->kill_at < due)
            due = s->kill_at;
    }
    if (is_rolling(m) && now + ROLL_MS < due)
        due = now + ROLL_MS;
    return due == INT64_MAX ? -1 : due <= now ? 0 : (int)(due - now);
}

/* ---- the watchdog ---- */

/* Seconds; 0: nobody is replaced. */
static unsigned watchdog_limit(const struct master *m)
{
    unsigned limit = (unsigned)m->cfg->watchdog;

    return limit && limit < m->p->longest_call_s ? m->p->longest_call_s : limit;
}

static void replace(struct master *m, struct slot *s, enum watchdog_verdict v, int64_t now)
{
    unsigned i = (unsigned)(s - m->slots);

    s->watchdog = (struct watchdog){0};
    if (v == WATCHDOG_STILL) {
        log_error(
            "child %u (pid %d): its event loop has not turned for %u s; killing it, its stack "
            "follows. Look whether the store stands still, else report the fault",
            i, (int)s->pid, watchdog_limit(m));
        kill(s->pid, SIGABRT);
        s->stage = HUNG;
        s->kill_at = now + ABORT_MS;
        return;
    }
    log_error("child %u (pid %d): it has accepted nothing for %u s although connections wait; "
              "replacing it. Report the fault",
              i, (int)s->pid, watchdog_limit(m));
    tell(m, s, now);
}

/* Looks at the children that beat, once a second; returns ms until the next look, or -1. */
static int watch(struct master *m, int64_t now)
{
    unsigned limit = watchdog_limit(m);
    struct beat b;

    if (!m->p->beats || !limit || m->stopping)
        return -1;
    if (now - m->looked < BEAT_MS)
        return (int)(BEAT_MS - (now - m->looked));
    bool late = now - m->looked > WATCHDOG_LATE_MS;
    bool waits = m->p->waits && m->p->waits(m->p->arg);
    m->looked = now;
    for (unsigned i = 0; i < m->total; i++) {
        struct slot *s = &m->slots[i];
        if (!s->pid || s->stage != SERVING || i == m->monitor || !beat_read(i, &b))
            continue;
        enum watchdog_verdict v = watchdog_look(&s->watchdog, &b, late, waits, limit);
        if (v)
            replace(m, s, v, now);
    }
    return BEAT_MS;
}

static bool block_signals(struct master *m)
{
    static const int list[] = {SIGTERM, SIGINT, SIGHUP, SIGTTIN, SIGTTOU, SIGCHLD};
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        sigaddset(&set, list[i]);
    sigprocmask(SIG_BLOCK, &set, &m->inherited);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        sigdelset(&m->inherited, list[i]);
    m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signal_fd >= 0;
}

/* Waits for a signal until something is due; serves those that came. */
static void turn(struct master *m, int timeout)
{
    struct signalfd_siginfo info;
    struct pollfd fd = {m->signal_fd, POLLIN, 0};
    int look = watch(m, clock_mono_ms());

    if (look >= 0 && (timeout < 0 || look < timeout))
        timeout = look;
    poll(&fd, 1, timeout);
    while (read(m->signal_fd, &info, sizeof info) == sizeof info)
        on_signal(m, (int)info.ssi_signo, clock_mono_ms());
    reap(m, clock_mono_ms());
}

/* The slots that always have children, beside the ordinary ones. */
static void want_special(struct master *m)
{
    const struct prefork *p = m->p;

    m->total = PREFORK_CHILDREN_MAX + 2 * p->special;
    for (unsigned i = 0; i < p->special; i++)
        m->slots[PREFORK_CHILDREN_MAX + i].wanted = true;
    m->monitor = SLOTS;
    if (!m->cfg->metrics_port || !p->monitor)
        return;
    m->monitor = m->total++;
    m->slots[m->monitor].wanted = true;
    if (!metrics_share(SLOTS + 1, (unsigned)m->cfg->metrics_queues))
        log_error("no memory for metrics: %s; nothing is counted", strerror(errno));
    metrics_use(SLOTS); /* the master's own */
}

/* What the master needs before its first child; false: it cannot run, which is logged. */
static bool prepare(struct master *m)
{
    ready = mmap(NULL, SLOTS * sizeof *ready, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    if (ready == MAP_FAILED || !block_signals(m)) {
        log_error("cannot start the master: %s; check the limits of memory and open files",
                  strerror(errno));
        return false;
    }
    want_special(m);
    if (m->p->beats)
        beat_share(PREFORK_SLOTS_MAX, !m->p->longest_call_s);
    return true;
}

int prefork_run(const struct config *cfg, const struct prefork *p)
{
    static struct master m;
    bool busy;

    m = (struct master){.cfg = cfg, .p = p, .max = p->children_max};
    if (!m.max || m.max > PREFORK_CHILDREN_MAX)
        m.max = PREFORK_CHILDREN_MAX;
    if (!prepare(&m))
        return 1;
    for (unsigned i = 0; i < m.max && i < cfg->processes; i++)
        m.slots[i].wanted = true;
    for (;;) {
        int timeout = maintain(&m, clock_mono_ms(), &busy);
        if (!busy)
            break;
        turn(&m, timeout);
    }
    close(m.signal_fd);
    return m.status;
}
