/* The folder of a local bus. It must be private: a process that can enter it can send and answer
 * requests. */
#ifndef COMMON_BUS_FOLDER_H
#define COMMON_BUS_FOLDER_H

#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>
#include <sys/stat.h>

#define BUS_FOLDER_REASON_SIZE 512

/* True for a folder that this process's user owns and that grants others nothing (mode 7xx). */
bool bus_folder_is_private(const struct stat *st);

/* Makes the folder when it is missing. ERR_INVALID, with a line in `reason`: it cannot be made, or
 * others may enter. */
enum err bus_folder_check(const char *path, char reason[BUS_FOLDER_REASON_SIZE]) MUST_CHECK;

/* The same check for a role's main(), after privileges are dropped; true where the bus is no
 * folder. False: the reason is on stderr, prefixed by `program`. */
bool bus_folder_allowed(const char *program, const struct config *cfg);

#endif
