/* Gives up privileges before the process reads untrusted input. */
#ifndef COMMON_PRIVILEGES_H
#define COMMON_PRIVILEGES_H

#include "common/config.h"

/* Call it in the launcher and in masters, once sockets that need root are bound and before any
 * child is forked. As root, changes to the user and the groups of the setting `user`; without that
 * setting warns, and sets it to "root" so that processes started from here do not warn again. No
 * process gains privileges by exec from then on (PR_SET_NO_NEW_PRIVS). ERR_INVALID (said on stderr
 * as `program`): the user does not exist, or cannot be changed to. */
enum err privileges_drop(const char *program, struct config *cfg) MUST_CHECK;

/* From now on, core dumps of this process and of those that it starts hold none of their memory:
 * secrets pass through it. */
void privileges_hide_memory(void);

#endif
