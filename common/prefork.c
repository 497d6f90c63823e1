#include "common/prefork.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    YOUNG_MS = 2000, /* a child that dies younger than this counts as failing to start */
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000
};

struct slot {
    pid_t pid;          /* 0: empty */
    bool wanted;        /* a child belongs here */
    bool old;           /* HUP: to be replaced */
    bool told;          /* it got TERM */
    int64_t started;    /* ms, monotonic */
    int64_t kill_at;    /* when `told` */
    int64_t not_before; /* back-off: no new child before this time */
    int64_t backoff;
    struct watchdog watchdog;
};

struct master {
    const struct config *cfg;
    const struct prefork *p;
    struct slot slots[PREFORK_SLOTS_MAX];
    unsigned max;     /* slots of ordinary children */
    unsigned total;   /* with those of the special ones and the monitor */
    unsigned monitor; /* its slot; PREFORK_SLOTS_MAX: there is none */
    bool stopping;
    int status;
    int signal_fd;
    int64_t looked; /* the watchdog, last */
    sigset_t inherited;
};

static int run_child(struct master *m, unsigned slot, pid_t parent)
{
    sigset_t stop, mask = m->inherited;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before prctl */
        return 1;
    close(m->signal_fd);
    metrics_use(slot);
    beat_use(slot);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    /* The master's other signals mean nothing here: HUP must not end a child. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    int fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        log_error("signalfd: %s", strerror(errno));
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
    pid_t pid = fork();

    if (pid == 0)
        exit(run_child(m, i, parent));
    if (pid < 0) {
        log_error("cannot fork a child: %s; trying again in a second", strerror(errno));
        s->not_before = now + 1000;
        return;
    }
    s->pid = pid;
    s->old = s->told = false;
    s->started = now;
    s->watchdog = (struct watchdog){0};
    log_debug("child %u started, pid %d", i, (int)pid);
}

static void tell(struct master *m, struct slot *s, int64_t now)
{
    if (!s->pid || s->told)
        return;
    kill(s->pid, SIGTERM);
    s->told = true;
    s->kill_at = now + m->cfg->grace * 1000;
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
        } else if (s->wanted && !s->told) {
            back_off(s, i, wstatus, now);
            metric_add(M_RESTARTS, 0, 1);
        }
        metrics_forget(i);
        if (i < PREFORK_CHILDREN_MAX)
            beat_forget(i);
        s->pid = 0;
        return;
    }
}

static void reap(struct master *m, int64_t now)
{
    int wstatus;
    pid_t pid;

    while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0)
        child_ended(m, pid, wstatus, now);
}

static void one_more(struct master *m)
{
    for (unsigned i = 0; i < m->max; i++)
        if (!m->slots[i].wanted) {
            m->slots[i].wanted = true;
            return;
        }
    log_warn("already at the most children, %u", m->max);
}

static void one_less(struct master *m, int64_t now)
{
    for (unsigned i = m->max; i-- > 1;)
        if (m->slots[i].wanted) {
            m->slots[i].wanted = false;
            tell(m, &m->slots[i], now);
            return;
        }
    log_warn("the last child stays");
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
            m->slots[i].old = m->slots[i].pid != 0;
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

/* HUP replaces one child at a time: the next is told once all wanted ones run and are not young. */
static void roll(struct master *m, int64_t now)
{
    struct slot *next = NULL;

    for (unsigned i = 0; i < m->total; i++) {
        struct slot *s = &m->slots[i];
        if (!s->wanted)
            continue;
        if (!s->pid || s->told || (!s->old && now - s->started < 300))
            return;
        if (s->old && !next)
            next = s;
    }
    if (next)
        tell(m, next, now);
}

/* Starts what is missing, kills what overstays; returns ms until something is due, or -1. */
static int maintain(struct master *m, int64_t now, bool *busy)
{
    int64_t due = INT64_MAX;

    *busy = false;
    for (unsigned i = 0; i < m->total; i++) {
        struct slot *s = &m->slots[i];
        if (s->wanted && !s->pid && now >= s->not_before)
            start_child(m, i, now);
        if (s->pid && s->told && now >= s->kill_at) {
            log_warn("child %u (pid %d) did not end within the grace time; killing it", i,
                     (int)s->pid);
            kill(s->pid, SIGKILL);
            s->kill_at = now + 1000;
        }
        *busy |= s->pid != 0 || s->wanted;
        if (s->wanted && !s->pid && s->not_before < due)
            due = s->not_before;
        if (s->pid && s->told && s->kill_at < due)
            due = s->kill_at;
        if (s->old && now + 100 < due)
            due = now + 100;
    }
    roll(m, now);
    return due == INT64_MAX ? -1 : due <= now ? 0 : (int)(due - now);
}

/* ---- the watchdog ---- */

static void replace(struct master *m, struct slot *s, enum watchdog_verdict v, int64_t now)
{
    unsigned i = (unsigned)(s - m->slots);

    s->watchdog = (struct watchdog){0};
    if (v == WATCHDOG_STILL) {
        log_error("child %u (pid %d): its event loop has not turned for %lld s; killing it. Where "
                  "nobody stopped it, raise --watchdog or report the fault",
                  i, (int)s->pid, (long long)m->cfg->watchdog);
        kill(s->pid, SIGKILL); /* it is replaced as one that died */
        return;
    }
    log_error("child %u (pid %d): it has accepted nothing for %lld s although connections wait; "
              "replacing it. Report the fault",
              i, (int)s->pid, (long long)m->cfg->watchdog);
    tell(m, s, now);
}

/* Looks at the children that beat, once a second; returns ms until the next look, or -1. */
static int watch(struct master *m, int64_t now)
{
    unsigned limit = (unsigned)m->cfg->watchdog;
    struct beat b;

    if (!m->p->beats || !limit || m->stopping)
        return -1;
    if (now - m->looked < BEAT_MS)
        return (int)(BEAT_MS - (now - m->looked));
    bool late = now - m->looked > WATCHDOG_LATE_MS;
    bool waits = m->p->waits && m->p->waits(m->p->arg);
    m->looked = now;
    for (unsigned i = 0; i < m->max; i++) {
        struct slot *s = &m->slots[i];
        if (!s->pid || s->told || !beat_read(i, &b))
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

int prefork_run(const struct config *cfg, const struct prefork *p)
{
    static struct master m;
    bool busy;

    m = (struct master){.cfg = cfg, .p = p, .max = p->children_max};
    if (!m.max || m.max > PREFORK_CHILDREN_MAX)
        m.max = PREFORK_CHILDREN_MAX;
    if (!block_signals(&m)) {
        log_error("signalfd: %s", strerror(errno));
        return 1;
    }
    for (unsigned i = 0; i < m.max && i < cfg->processes; i++)
        m.slots[i].wanted = true;
    m.total = PREFORK_CHILDREN_MAX + p->special;
    m.monitor = PREFORK_SLOTS_MAX;
    if (cfg->metrics_port && p->monitor) {
        m.monitor = m.total++;
        if (!metrics_share(PREFORK_SLOTS_MAX + 1))
            log_error("no memory for metrics: %s; nothing is counted", strerror(errno));
        metrics_use(PREFORK_SLOTS_MAX); /* the master's own */
    }
    for (unsigned i = PREFORK_CHILDREN_MAX; i < m.total; i++)
        m.slots[i].wanted = true;
    if (p->beats)
        beat_share(PREFORK_CHILDREN_MAX);
    for (;;) {
        int timeout = maintain(&m, clock_mono_ms(), &busy);
        if (!busy)
            break;
        turn(&m, timeout);
    }
    close(m.signal_fd);
    return m.status;
}
