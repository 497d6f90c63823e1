/* A folder in which the processes of a bus meet: only its owner may enter. */
#ifndef COMMON_BUS_FOLDER_H
#define COMMON_BUS_FOLDER_H

#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>
#include <sys/stat.h>

#define BUS_FOLDER_REASON_SIZE 512

/* A folder of this process's user that nobody else may enter. */
bool bus_folder_is_private(const struct stat *st);

/* Takes a folder that the operator names: makes it when it is missing, refuses it when others may
 * enter, since who reaches the bus may do everything. ERR_INVALID with a line in `reason`. */
enum err bus_folder_check(const char *path, char reason[BUS_FOLDER_REASON_SIZE]) MUST_CHECK;

/* The same for a role's main(), once privileges are dropped: false, and said on stderr as
 * `program`, when the bus of the settings is a folder that will not do. */
bool bus_folder_allowed(const char *program, const struct config *cfg);

#endif
