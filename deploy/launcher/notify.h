/* Tells the service manager the server's state, as systemd's sd_notify(3) does, without its
 * library. No effect without a manager. */
#ifndef DEPLOY_LAUNCHER_NOTIFY_H
#define DEPLOY_LAUNCHER_NOTIFY_H

/* Takes the manager's address from $NOTIFY_SOCKET and removes the variable: the launcher's children
 * must not notify. */
void notify_init(void);

/* Sends a state such as "READY=1". Ignores errors. */
void notify_send(const char *state);

#endif
