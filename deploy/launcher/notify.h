/* Tells the service manager how far the server is, in the way of systemd's sd_notify(3), which this
 * spares the library. Without a manager that wants to know, nothing happens. */
#ifndef DEPLOY_LAUNCHER_NOTIFY_H
#define DEPLOY_LAUNCHER_NOTIFY_H

/* Takes the manager's address from $NOTIFY_SOCKET, and out of the environment: what the launcher
 * starts has nothing to say there. */
void notify_init(void);

/* Sends a state such as "READY=1". What fails is the manager's trouble, not the server's. */
void notify_send(const char *state);

#endif
