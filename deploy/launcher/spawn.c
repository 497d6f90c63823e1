#include "deploy/launcher/spawn.h"

#include "common/listen.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum err spawn_path(const char *folder, enum plan_role_id role, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s", folder, plan_roles[role].binary);

    return n > 0 && (size_t)n < size ? ERR_OK : ERR_INVALID;
}

/* Undoes the launcher's signal settings. TERM and INT must end a master that has no handler yet;
 * its other signals stay blocked until then, since their default action would kill or stop it. */
static void reset_signals(void)
{
    sigset_t end;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigaddset(&end, SIGINT);
    sigaddset(&end, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &end, NULL);
}

/* Only the launcher reads input and writes to standard output (one line, for scripts). */
static void redirect(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
}

static void run_role(const struct config *cfg, const char *path, enum plan_role_id role,
                     int listen_fd, pid_t launcher) __attribute__((noreturn));
static void run_role(const struct config *cfg, const char *path, enum plan_role_id role,
                     int listen_fd, pid_t launcher)
{
    struct plan_args args;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != launcher) /* the launcher died before prctl */
        _exit(1);
    setpgid(0, 0);
    redirect();
    if (role == PLAN_FRONTEND && listen_fd >= 0 && listen_pass(listen_fd)) {
        log_error("cannot pass the listening socket on: %s", strerror(errno));
        _exit(SPAWN_FAILED);
    }
    plan_args(cfg, role, &args);
    char **env = config_environ(cfg, plan_roles[role].bit);
    reset_signals();
    execve(path, args.argv, env);
    log_error("cannot run %s: %s; check that the installation is complete", path, strerror(errno));
    _exit(SPAWN_FAILED);
}

pid_t spawn_role(const struct config *cfg, const char *folder, enum plan_role_id role,
                 int listen_fd)
{
    char path[4096];
    pid_t launcher = getpid();

    if (spawn_path(folder, role, path, sizeof path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0)
        run_role(cfg, path, role, listen_fd, launcher);
    if (pid > 0)
        setpgid(pid, pid); /* parent and child both set it: neither must wait */
    return pid;
}
