#include "common/privileges.h"

#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static enum err become(const char *program, const struct passwd *user)
{
    if (initgroups(user->pw_name, user->pw_gid) != 0 ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0) {
        fprintf(stderr, "%s: user: cannot change to '%s': %s; is it started with CAP_SETUID?\n",
                program, user->pw_name, strerror(errno));
        return ERR_INVALID;
    }
    if (user->pw_uid != 0 && setuid(0) == 0) {
        fprintf(stderr, "%s: user: the system lets '%s' change back to root\n", program,
                user->pw_name);
        return ERR_INVALID;
    }
    /* The change of user switched off core dumps and debuggers: allow them, the process holds no
     * secret of root. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return ERR_OK;
}

static enum err change_user(const char *program, const char *name)
{
    const struct passwd *user = getpwnam(name);

    if (!user) {
        fprintf(stderr,
                "%s: user: there is no user '%s' here; make it by: useradd --system %s, or name "
                "another with --user\n",
                program, name, name);
        return ERR_INVALID;
    }
    if (user->pw_uid == geteuid())
        return ERR_OK; /* the launcher has changed it, or the service manager */
    if (geteuid() == 0)
        return become(program, user);
    fprintf(stderr, "%s: user: only root can change to '%s'; start it as root, or as '%s'\n",
            program, name, name);
    return ERR_INVALID;
}

enum err privileges_drop(const char *program, struct config *cfg)
{
    if (*cfg->user) {
        enum err e = change_user(program, cfg->user);
        if (e)
            return e;
    } else if (geteuid() == 0) {
        log_warn("running as root, where a fault of the server is one of the whole machine: name "
                 "a user of its own with --user, or say --user root");
        free(cfg->user);
        cfg->user = mem_strdup("root");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        log_warn("PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
    return ERR_OK;
}

void privileges_hide_memory(void)
{
    FILE *filter = fopen("/proc/self/coredump_filter", "we");
    bool written = filter && fputs("0", filter) >= 0;

    if (filter && fclose(filter) != 0)
        written = false;
    if (!written)
        log_warn("core dumps may hold secrets: cannot write /proc/self/coredump_filter: %s; switch "
                 "core dumps off (LimitCORE=0)",
                 strerror(errno));
}
