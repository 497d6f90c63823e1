#include "common/bus_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool bus_folder_is_private(const struct stat *st)
{
    return S_ISDIR(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

enum err bus_folder_check(const char *path, char reason[BUS_FOLDER_REASON_SIZE])
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        snprintf(reason, BUS_FOLDER_REASON_SIZE, "bus: cannot make the folder %.200s: %s", path,
                 strerror(errno));
        return ERR_INVALID;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        snprintf(reason, BUS_FOLDER_REASON_SIZE, "bus: %.200s is not a folder", path);
        return ERR_INVALID;
    }
    if (!bus_folder_is_private(&st)) {
        snprintf(reason, BUS_FOLDER_REASON_SIZE,
                 "bus: the folder %.200s must belong to this user and be closed to others: "
                 "chown and chmod 700 it, or name another with --bus",
                 path);
        return ERR_INVALID;
    }
    return ERR_OK;
}

bool bus_folder_allowed(const char *program, const struct config *cfg)
{
    char reason[BUS_FOLDER_REASON_SIZE];

    if (strstr(cfg->bus, "://") || bus_folder_check(cfg->bus, reason) == ERR_OK)
        return true;
    fprintf(stderr, "%s: %s\n", program, reason);
    return false;
}
