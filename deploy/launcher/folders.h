/* The folders that the server needs: the private one of the bus, and that of the embedded store. */
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

/* Makes the folder below $XDG_RUNTIME_DIR (unset: /tmp), for its owner only, and removes the
 * folders of servers that were killed. ERR_INVALID: it failed; `reason` gets a line. */
enum err bus_folder_make(struct bus_folder *ret, char reason[FOLDERS_REASON_SIZE]) MUST_CHECK;

/* Removes the folder with its files. No effect when there is none. */
void bus_folder_remove(struct bus_folder *b);

/* Makes the missing folders above this file, for the owner only. ERR_INVALID: one cannot be made or
 * takes no files; `reason` gets a line. */
enum err folders_for_file(const char *file, char reason[FOLDERS_REASON_SIZE]) MUST_CHECK;

#endif
