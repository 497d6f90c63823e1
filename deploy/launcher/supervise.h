/* Starts the master of each role and looks after them until the server ends.
 *
 * A master that dies is started again, with a growing pause while it dies young; one that ends with
 * EXIT_BAD_SETTING ends the server with that status (reason.h). TERM, INT: the frontends end first,
 * then the others, each within the grace time, then KILL; a second one kills at once. HUP: passed
 * to every master; when it tells that the terminal is gone, it ends the server as TERM does. TTIN,
 * TTOU: passed to the workers' master. A service manager is told when the server is ready and when
 * it ends.
 *
 * Each master leads a process group of its own: a Ctrl-C on the terminal reaches the launcher
 * alone, which keeps the order; and what a dead master leaves behind is found and killed before the
 * role is started again, so that no lock is still held. Masters get TERM when the launcher dies.
 * The listening socket is the launcher's: while the frontends are started again, clients wait. */
#ifndef DEPLOY_LAUNCHER_SUPERVISE_H
#define DEPLOY_LAUNCHER_SUPERVISE_H

#include "common/config.h"
#include "deploy/launcher/probe.h"

/* Runs the roles whose count is not 0, with the binaries in `folder`; prints the ready line once
 * `probe` got 200. Closes `listen_fd`. Without a frontend: listen_fd -1, probe NULL. Returns the
 * launcher's exit status. */
int supervise(const struct config *cfg, const char *folder, int listen_fd, struct probe *probe);

#endif
