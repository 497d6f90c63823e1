/* The folders that the server needs: the private one of the bus, that of the embedded store. */
#ifndef DEPLOY_LAUNCHER_FOLDERS_H
#define DEPLOY_LAUNCHER_FOLDERS_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

#define FOLDERS_PATH_SIZE   4096
#define FOLDERS_REASON_SIZE 512

/* The private folder of the bus. It is locked through `fd`, which every process of this server
 * inherits, so the lock lasts as long as one of them does. */
struct bus_folder {
    char path[256];
    int fd; /* -1: there is none */
};

/* Makes the folder, below $XDG_RUNTIME_DIR or else /tmp, for its owner only, and removes those that
 * servers which were killed have left there. ERR_INVALID with a line in `reason`. */
enum err bus_folder_make(struct bus_folder *ret, char reason[FOLDERS_REASON_SIZE]) MUST_CHECK;

/* Removes it with what is in it. Does nothing without one. */
void bus_folder_remove(struct bus_folder *b);

/* Makes the folder of this file, and those above it, for the owner only, where they are missing.
 * ERR_INVALID with a line in `reason`, also when files cannot be made in it. */
enum err folders_for_file(const char *file, char reason[FOLDERS_REASON_SIZE]) MUST_CHECK;

#endif
