#include "broker/keys.h"

#include "common/bus_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "testflinger-broker"

enum { PATH_SIZE = 4096, FILE_SIZE = 1024 };

struct pair {
    char public[BUS_KEY_TEXT + 1], secret[BUS_KEY_TEXT + 1];
};

static int fail(const char *path)
{
    fprintf(stderr, PROGRAM ": make-keys: %s: %s\n", path, strerror(errno));
    return 1;
}

static bool make_pair(struct pair *p)
{
    if (zmq_curve_keypair(p->public, p->secret) == 0)
        return true;
    fprintf(stderr, PROGRAM ": this libzmq was built without CURVE; install one with it\n");
    return false;
}

int keys_make_shared(void)
{
    struct pair p;

    return !make_pair(&p) || puts(p.secret) < 0 || fflush(stdout) != 0;
}

/* Prints a side's own secret and the public keys of its peers, nothing else. */
static void print_side(const struct pair pairs[BUS_KEY_SIDES_], enum bus_key_side side,
                       char out[FILE_SIZE])
{
    int n = snprintf(out, FILE_SIZE,
                     "# Secret: for the processes of this side of the bus alone\n"
                     "side %s\nsecret %s\n",
                     bus_key_side_name(side), pairs[side].secret);

    for (enum bus_key_side s = 0; s < BUS_KEY_SIDES_; s++)
        if ((side == BUS_KEY_BROKER) != (s == BUS_KEY_BROKER))
            n += snprintf(out + n, FILE_SIZE - (size_t)n, "%s %s\n", bus_key_side_name(s),
                          pairs[s].public);
}

static bool path_of(const char *folder, enum bus_key_side side, char out[PATH_SIZE])
{
    int n = snprintf(out, PATH_SIZE, "%s/%s.key", folder, bus_key_side_name(side));

    errno = ENAMETOOLONG;
    return n > 0 && n < PATH_SIZE;
}

static bool write_file(const char *path, const char *text)
{
    size_t len = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return false;
    errno = EIO; /* reported for a short write */
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    return close(fd) == 0 && ok;
}

int keys_make_sides(const char *folder)
{
    struct pair pairs[BUS_KEY_SIDES_];
    char path[PATH_SIZE], text[FILE_SIZE];

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fail(folder);
    for (enum bus_key_side s = 0; s < BUS_KEY_SIDES_; s++) {
        if (!make_pair(&pairs[s]))
            return 1;
        if (!path_of(folder, s, path))
            return fail(folder);
        if (access(path, F_OK) == 0) {
            errno = EEXIST;
            return fail(path);
        }
    }
    for (enum bus_key_side s = 0; s < BUS_KEY_SIDES_; s++) {
        print_side(pairs, s, text);
        if (!path_of(folder, s, path) || !write_file(path, text))
            return fail(path);
        printf("%s\n", path);
    }
    return fflush(stdout) != 0;
}
