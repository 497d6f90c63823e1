/* Tells the launcher why a process ended with EXIT_BAD_SETTING, so that the launcher can print it
 * last, after the log lines of other processes that still end. */
#ifndef COMMON_REASON_H
#define COMMON_REASON_H

/* Exit status for a wrong setting: masters and the launcher do not restart such a process. */
#define EXIT_BAD_SETTING 2

/* Launcher: makes memory shared with the processes that it starts. Without memory no reason
 * arrives. */
void reason_share(void);

/* Roles: makes this process, and children that it forks, pass their last logged error to the
 * launcher when they exit with EXIT_BAD_SETTING. No effect without a launcher. */
void reason_watch(void);

/* Launcher: the first reason that arrived; "": none. */
const char *reason_text(void);

#endif
