/* Why a process ended with EXIT_BAD_SETTING, told to the launcher: other processes may log more
 * lines until all have ended, and the reason is to be the last one. */
#ifndef COMMON_REASON_H
#define COMMON_REASON_H

/* Exit status that says: a setting is wrong, starting again cannot help. A master or launcher does
 * not restart a process that ends with it. */
#define EXIT_BAD_SETTING 2

/* Launcher: makes the memory that the processes which it starts share with it. Without memory no
 * reason is told. */
void reason_share(void);

/* All others: when this process, or a child that it forks, exits with EXIT_BAD_SETTING, the
 * launcher is told its last logged error. Without effect where no launcher wants to know. */
void reason_watch(void);

/* Launcher: the first reason that was told; "" when there was none. */
const char *reason_text(void);

#endif
