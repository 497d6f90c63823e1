#include "common/reason.h"

#include "common/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VARIABLE "TESTFLINGER_REASON_FD" /* descriptor of the shared file */

enum { SIZE = 1024 };

static char *shared;

static void map(int fd)
{
    void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    shared = p == MAP_FAILED ? NULL : p;
}

void reason_share(void)
{
    int fd = memfd_create("reason", 0); /* no CLOEXEC: the roles inherit it */
    char number[16];

    if (fd < 0 || ftruncate(fd, SIZE) != 0)
        return;
    snprintf(number, sizeof number, "%d", fd);
    setenv(VARIABLE, number, 1);
    map(fd);
}

static void on_end(int status, void *arg)
{
    (void)arg;
    if (status == EXIT_BAD_SETTING && !*shared)
        snprintf(shared, SIZE, "%s", log_last_error());
}

void reason_watch(void)
{
    const char *number = getenv(VARIABLE);
    struct stat info;
    char *end;

    if (!number || shared)
        return;
    long fd = strtol(number, &end, 10);
    if (*end || fd <= STDERR_FILENO || fd > INT_MAX || fstat((int)fd, &info) != 0 ||
        info.st_size != SIZE)
        return; /* not a file that the launcher shared */
    map((int)fd);
    close((int)fd);
    if (shared)
        on_exit(on_end, NULL);
}

const char *reason_text(void)
{
    return shared ? shared : "";
}
