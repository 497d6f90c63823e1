#include "deploy/launcher/supervise.h"

#include "common/clock.h"
#include "common/log.h"
#include "deploy/launcher/notify.h"
#include "deploy/launcher/spawn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MASTER_MARGIN_MS = 2000, /* after a master's own grace time for its children */
    LINGER_MS = 20,          /* between looks at a dead master's group until it is empty */
    READY_WARN_MS = 10000,
    FORK_RETRY_MS = 1000
};

/* One role: its master and that master's process group, which may outlive it. */
struct member {
    enum plan_role_id role;
    bool wanted;        /* the role must have a master */
    pid_t group;        /* 0: no process of this role is left */
    bool dead;          /* the group's master has ended */
    bool told;          /* the master got TERM */
    int64_t started;    /* ms, monotonic */
    int64_t not_before; /* back-off: no new master before this time */
    int64_t kill_at;    /* ms; valid when `told` */
    unsigned deaths;    /* early deaths in a row */
};

struct server {
    const struct config *cfg;
    const char *folder;
    int listen_fd;       /* of the frontends; -1: none, or the server is stopping */
    struct probe *probe; /* NULL: no frontend, or already ready */
    struct member members[PLAN_ROLES];
    int signal_fd;
    bool stopping;
    int stop_step; /* roles up to this step got TERM */
    int status;
    int64_t began;
    bool warned;      /* logged that it is not ready yet */
    bool on_terminal; /* started on a terminal */
};

/* Step: starts the masters that are missing. */
static void start_missing(struct server *s, int64_t now)
{
    for (int i = 0; i < PLAN_ROLES; i++) {
        struct member *m = &s->members[i];
        if (!m->wanted || m->group || now < m->not_before)
            continue;
        pid_t pid = spawn_role(s->cfg, s->folder, m->role, s->listen_fd);
        if (pid < 0) {
            log_error("cannot start the %s: %s; trying again in a second",
                      plan_roles[m->role].setting, strerror(errno));
            m->not_before = now + FORK_RETRY_MS;
            continue;
        }
        m->group = pid;
        m->dead = m->told = false;
        m->started = now;
        log_debug("%s started, pid %d", plan_roles[m->role].binary, (int)pid);
    }
}

static void tell(struct server *s, struct member *m, int64_t now)
{
    m->wanted = false;
    if (!m->group || m->dead || m->told)
        return;
    kill(m->group, SIGTERM);
    m->told = true;
    m->kill_at = now + s->cfg->grace * 1000 + MASTER_MARGIN_MS;
}

static bool step_is_over(const struct server *s, int step)
{
    for (int i = 0; i < PLAN_ROLES; i++)
        if (plan_roles[s->members[i].role].stop_step <= step && s->members[i].group)
            return false;
    return true;
}

/* Step: while stopping, sends TERM to the roles of the current step, then to those of the next. */
static void advance_stop(struct server *s, int64_t now)
{
    if (!s->stopping)
        return;
    if (s->listen_fd >= 0) /* refuse new connections once the frontends are gone */
        close(s->listen_fd);
    s->listen_fd = -1;
    while (s->stop_step + 1 < PLAN_STOP_STEPS && step_is_over(s, s->stop_step))
        s->stop_step++;
    for (int i = 0; i < PLAN_ROLES; i++) {
        struct member *m = &s->members[i];
        m->wanted = false;
        if (plan_roles[m->role].stop_step <= s->stop_step)
            tell(s, m, now);
    }
}

/* Step: kills masters that overstay their time, and the leftover group of a dead master. */
static void kill_overdue(struct server *s, int64_t now)
{
    for (int i = 0; i < PLAN_ROLES; i++) {
        struct member *m = &s->members[i];
        if (!m->group)
            continue;
        if (m->dead) {
            kill(-m->group, SIGKILL);
        } else if (m->told && now >= m->kill_at) {
            log_warn("the %s did not end within the grace time; killing them",
                     plan_roles[m->role].setting);
            kill(-m->group, SIGKILL);
            m->kill_at = now + 1000;
        }
    }
}

static void log_death(const struct member *m, int wstatus)
{
    const char *name = plan_roles[m->role].binary;

    if (WIFSIGNALED(wstatus))
        log_warn("%s (pid %d) was ended by signal %d; starting it again", name, (int)m->group,
                 WTERMSIG(wstatus));
    else
        log_warn("%s (pid %d) ended with status %d; starting it again", name, (int)m->group,
                 WEXITSTATUS(wstatus));
}

static void master_ended(struct server *s, struct member *m, int wstatus, int64_t now)
{
    m->dead = true;
    if (!m->wanted)
        return;
    if (WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == EXIT_BAD_SETTING) {
        /* The role logged why. Log nothing after that; stop all roles at once. */
        s->stopping = true;
        s->status = EXIT_BAD_SETTING;
        s->stop_step = PLAN_STOP_STEPS - 1;
        return;
    }
    log_death(m, wstatus);
    m->not_before = now + plan_backoff(now - m->started, &m->deaths);
}

/* Step: reaps ended processes, also the orphans of a dead master. */
static void reap(struct server *s, int64_t now)
{
    int wstatus;
    pid_t pid;

    while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0)
        for (int i = 0; i < PLAN_ROLES; i++)
            if (s->members[i].group == pid && !s->members[i].dead)
                master_ended(s, &s->members[i], wstatus, now);
    for (int i = 0; i < PLAN_ROLES; i++) {
        struct member *m = &s->members[i];
        if (m->group && m->dead && kill(-m->group, 0) != 0 && errno == ESRCH)
            m->group = 0;
    }
}

static void pass_on(const struct server *s, int signo, enum plan_role_id role)
{
    const struct member *m = &s->members[role];

    if (m->group && !m->dead && !m->told)
        kill(m->group, signo);
}

/* TERM, INT: the first one stops the server in order, the second at once. */
static void on_end(struct server *s)
{
    if (s->stopping) {
        for (int i = 0; i < PLAN_ROLES; i++)
            if (s->members[i].group)
                kill(-s->members[i].group, SIGKILL);
        return;
    }
    log_info("stopping; a second signal kills at once");
    s->stopping = true;
    notify_send("STOPPING=1");
}

static void on_signal(struct server *s, int signo)
{
    switch (signo) {
    case SIGTERM:
    case SIGINT:
        on_end(s);
        break;
    case SIGHUP:
        if (s->on_terminal && !isatty(STDERR_FILENO)) {
            on_end(s);
            break;
        }
        for (int i = 0; i < PLAN_ROLES; i++)
            pass_on(s, signo, (enum plan_role_id)i);
        break;
    case SIGTTIN:
    case SIGTTOU:
        pass_on(s, signo, PLAN_WORKER);
        break;
    default: /* SIGCHLD: see reap() */
        break;
    }
}

static void warn_not_ready(const struct server *s)
{
    static const char *const hints[] = {
        [PROBE_SILENCE] =
            "no answer; read the log lines of testflinger-frontend, testflinger-broker "
            "and testflinger-worker",
        [PROBE_REFUSAL] = "no worker with a store that answers; read the log lines of "
                          "testflinger-worker, and check that the store is up",
        [PROBE_READY] = ""};

    for (int i = 0; i < PLAN_ROLES; i++)
        if (s->members[i].deaths > 1)
            log_warn("the %s keep dying at their start; read the log lines of %s",
                     plan_roles[i].setting, plan_roles[i].binary);
    log_warn("not ready after %d s: %s", READY_WARN_MS / 1000, hints[s->probe->met]);
}

/* Step: asks whether the server is ready, until it is. Returns the ms to the next call; -1: never.
 */
static int ask_ready(struct server *s, int64_t now, struct pollfd *fd)
{
    *fd = (struct pollfd){.fd = -1};
    if (!s->probe || s->stopping)
        return -1;
    int timeout = probe_step(s->probe, now, fd);
    if (s->probe->met == PROBE_READY) {
        printf("Testflinger server is ready: http%s://%s\n", *s->cfg->tls_cert ? "s" : "",
               s->cfg->listen);
        fflush(stdout);
        notify_send("READY=1");
        probe_close(s->probe);
        s->probe = NULL;
        return -1;
    }
    if (!s->warned && now - s->began >= READY_WARN_MS) {
        s->warned = true;
        warn_not_ready(s);
    }
    return timeout;
}

/* ms until a start, a kill or a look at a lingering group is due; -1: never. */
static int next_due(const struct server *s, int64_t now)
{
    int64_t due = INT64_MAX;

    for (int i = 0; i < PLAN_ROLES; i++) {
        const struct member *m = &s->members[i];
        int64_t at = INT64_MAX;
        if (m->group && m->dead)
            at = now + LINGER_MS;
        else if (m->group && m->told)
            at = m->kill_at;
        else if (!m->group && m->wanted)
            at = m->not_before;
        due = at < due ? at : due;
    }
    return due == INT64_MAX ? -1 : due <= now ? 0 : (int)(due - now);
}

static bool all_ended(const struct server *s)
{
    return s->stopping && step_is_over(s, PLAN_STOP_STEPS - 1);
}

/* Step: sleeps until something is due or a signal arrives, and handles the signals. */
static void wait_for_more(struct server *s, const struct pollfd *probe, int probe_timeout)
{
    struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN}, *probe};
    struct signalfd_siginfo info;
    int timeout = next_due(s, clock_mono_ms());

    if (probe_timeout >= 0 && (timeout < 0 || probe_timeout < timeout))
        timeout = probe_timeout;
    poll(fds, 2, timeout);
    while (read(s->signal_fd, &info, sizeof info) == sizeof info)
        on_signal(s, (int)info.ssi_signo);
}

static bool take_signals(struct server *s)
{
    static const int list[] = {SIGTERM, SIGINT, SIGHUP, SIGTTIN, SIGTTOU, SIGCHLD};
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        sigaddset(&set, list[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0;
}

int supervise(const struct config *cfg, const char *folder, int listen_fd, struct probe *probe)
{
    struct server s = {.cfg = cfg,
                       .folder = folder,
                       .listen_fd = listen_fd,
                       .probe = probe,
                       .began = clock_mono_ms(),
                       .on_terminal = isatty(STDERR_FILENO)};

    if (!take_signals(&s)) {
        log_error("signalfd: %s", strerror(errno));
        return 1;
    }
    /* Adopt the children of a dead master, so that we see when they end. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    notify_init();
    if (!probe)
        notify_send("READY=1");
    for (int i = 0; i < PLAN_ROLES; i++)
        s.members[i] = (struct member){.role = (enum plan_role_id)i,
                                       .wanted = plan_count(cfg, (enum plan_role_id)i) > 0};
    for (;;) {
        struct pollfd fd;
        int64_t now = clock_mono_ms();
        reap(&s, now);
        advance_stop(&s, now);
        kill_overdue(&s, now);
        if (all_ended(&s))
            break;
        start_missing(&s, now);
        int timeout = ask_ready(&s, now, &fd);
        wait_for_more(&s, &fd, timeout);
    }
    if (s.probe)
        probe_close(s.probe);
    close(s.signal_fd);
    return s.status;
}
