#include "deploy/launcher/folders.h"

#include "common/bus_folder.h"
#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUS_PREFIX "testflinger-bus-"

enum { MAKE_TRIES = 10, BASE_MAX = 64 /* a longer base leaves no room for a socket's path */ };

/* The folder in which private folders are made. */
static const char *base_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat st;

    if (runtime && *runtime == '/' && strlen(runtime) < BASE_MAX && stat(runtime, &st) == 0 &&
        bus_folder_is_private(&st) && access(runtime, W_OK | X_OK) == 0)
        return runtime;
    return "/tmp";
}

/* Opens and locks a folder. -1: another process holds the lock, or the folder is gone or not
 * private. */
static int lock_folder(const char *path)
{
    struct stat st, now;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -1;
    /* A starting server may have removed the folder before we locked it: compare again. */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && bus_folder_is_private(&st) &&
        lstat(path, &now) == 0 && now.st_dev == st.st_dev && now.st_ino == st.st_ino)
        return fd;
    close(fd);
    return -1;
}

/* Removes the folder that is locked through `fd`, with its files, and closes `fd`. It has no
 * subfolders. */
static void remove_folder(int fd, const char *path)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        close(fd);
        return;
    }
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(fd, entry->d_name, 0);
    if (rmdir(path) != 0)
        log_warn("cannot remove the stale bus folder %s: %s; remove it by hand", path,
                 strerror(errno));
    closedir(dir);
}

/* Removes folders of servers that were killed: nobody holds their locks any more. */
static void sweep(const char *base)
{
    char path[FOLDERS_PATH_SIZE];
    DIR *dir = opendir(base);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, BUS_PREFIX, strlen(BUS_PREFIX)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", base, entry->d_name);
        int fd = lock_folder(path);
        if (fd >= 0)
            remove_folder(fd, path);
    }
    if (dir)
        closedir(dir);
}

enum err bus_folder_make(struct bus_folder *ret, char reason[FOLDERS_REASON_SIZE])
{
    const char *base = base_folder();

    sweep(base);
    for (int i = 0; i < MAKE_TRIES; i++) {
        snprintf(ret->path, sizeof ret->path, "%s/" BUS_PREFIX "XXXXXX", base);
        if (!mkdtemp(ret->path))
            break;
        /* A server that starts meanwhile may have removed the new folder as a stale one: make
         * another. */
        ret->fd = lock_folder(ret->path);
        if (ret->fd >= 0) {
            fcntl(ret->fd, F_SETFD, 0); /* inherited, see struct bus_folder */
            return ERR_OK;
        }
    }
    snprintf(reason, FOLDERS_REASON_SIZE,
             "bus: cannot make a private folder in %.200s: %s; name one with --bus", base,
             strerror(errno));
    return ERR_INVALID;
}

void bus_folder_remove(struct bus_folder *b)
{
    if (b->fd >= 0)
        remove_folder(b->fd, b->path);
    b->fd = -1;
}

/* Makes `path` and its missing parents. Writes to `path` meanwhile. */
static bool make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST || errno == EROFS || errno == EACCES;
        *p = '/';
        if (!made)
            return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

enum err folders_for_file(const char *file, char reason[FOLDERS_REASON_SIZE])
{
    char folder[FOLDERS_PATH_SIZE];
    const char *slash = strrchr(file, '/');

    if (strlen(file) >= sizeof folder) {
        snprintf(reason, FOLDERS_REASON_SIZE, "store: the path is longer than %zu bytes",
                 sizeof folder - 1);
        return ERR_INVALID;
    }
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) : 0, file);
    if (!*folder) /* in the current folder, or in the root */
        snprintf(folder, sizeof folder, slash ? "/" : ".");
    if (make_folders(folder) && access(folder, W_OK | X_OK) == 0)
        return ERR_OK;
    snprintf(reason, FOLDERS_REASON_SIZE, "store: cannot use the folder %.300s: %s", folder,
             strerror(errno));
    return ERR_INVALID;
}
