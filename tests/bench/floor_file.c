/* The disk itself: each "append" writes 4 KiB at a file's end and waits until it is on the disk. */
#include "tests/bench/floor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCHEME     "file:"
#define PIECE_SIZE 4096

struct floor_file {
    int fd;
    const char *path;
};

static bool fail(const struct floor_file *f, const char *what)
{
    fprintf(stderr, "bench-floor: %s: %s: %s\n", f->path, what, strerror(errno));
    return false;
}

static void file_close(void *store)
{
    struct floor_file *f = store;

    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static void *file_open(const char *uri, const struct floor_options *options)
{
    struct floor_file *f = calloc(1, sizeof *f);

    (void)options;
    if (!f)
        abort();
    f->path = uri + strlen(SCHEME);
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (f->fd < 0) {
        fail(f, "open");
        file_close(f);
        return NULL;
    }
    return f;
}

static bool file_prepare(void *store, uint64_t jobs)
{
    const struct floor_file *f = store;

    (void)jobs;
    return ftruncate(f->fd, 0) == 0 || fail(f, "truncate");
}

static bool file_run(void *store, enum floor_op op, uint64_t job)
{
    static const char piece[PIECE_SIZE];
    const struct floor_file *f = store;

    (void)job;
    if (op != FLOOR_APPEND) {
        fprintf(stderr, "bench-floor: a file only knows the operation append\n");
        return false;
    }
    return (write(f->fd, piece, sizeof piece) == PIECE_SIZE && fdatasync(f->fd) == 0) ||
           fail(f, "write");
}

static void file_drop(void *store)
{
    const struct floor_file *f = store;

    if (unlink(f->path))
        fail(f, "unlink");
}

const struct floor_backend floor_file = {
    .scheme = SCHEME,
    .open = file_open,
    .prepare = file_prepare,
    .run = file_run,
    .drop = file_drop,
    .close = file_close,
};
