#include "common/process_stats.h"

#include "common/prom.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct stats {
    uint64_t ticks, ended_ticks; /* CPU time; of children that were waited for */
    uint64_t start_ticks;        /* since the machine's start */
    uint64_t virtual_bytes, resident_bytes;
};

/* Reads a small file of /proc; false: it is not there. */
static bool read_file(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(out, 1, size - 1, f) : 0;

    if (f)
        fclose(f);
    out[n] = '\0';
    return n > 0;
}

/* Fields of /proc/PID/stat after the name, counted from the state's successor (proc(5): 4). */
enum { USER = 10, SYSTEM, ENDED_USER, ENDED_SYSTEM, START = 18, VIRTUAL, PAGES, FIELDS };

static bool read_stat(pid_t pid, struct stats *ret)
{
    char path[64], text[1024], *end;
    long long field[FIELDS];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_file(path, text, sizeof text))
        return false;
    const char *s = strrchr(text, ')'); /* the name may hold anything */
    if (!s || strlen(s) < 4)
        return false;
    s += 3; /* ") S" */
    for (int i = 0; i < FIELDS; i++, s = end) {
        field[i] = strtoll(s, &end, 10);
        if (end == s)
            return false;
    }
    *ret =
        (struct stats){.ticks = (uint64_t)(field[USER] + field[SYSTEM]),
                       .ended_ticks = (uint64_t)(field[ENDED_USER] + field[ENDED_SYSTEM]),
                       .start_ticks = (uint64_t)field[START],
                       .virtual_bytes = (uint64_t)field[VIRTUAL],
                       .resident_bytes = (uint64_t)field[PAGES] * (uint64_t)sysconf(_SC_PAGESIZE)};
    return true;
}

/* 0: not known. */
static uint64_t open_fds(pid_t pid)
{
    char path[64];
    uint64_t n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    for (const struct dirent *d; (d = readdir(dir));)
        n += *d->d_name != '.';
    closedir(dir);
    return n;
}

/* Seconds since the epoch at which the machine started; 0: not known. */
static uint64_t boot_time(void)
{
    char line[256];
    uint64_t seconds = 0;
    FILE *f = fopen("/proc/stat", "re");

    while (f && !seconds && fgets(line, sizeof line, f))
        if (strncmp(line, "btime ", 6) == 0)
            seconds = strtoull(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return seconds;
}

struct totals {
    struct stats sum;
    uint64_t open, max; /* file descriptors */
};

static void add_process(struct totals *t, pid_t pid)
{
    struct stats s;
    struct rlimit limit;
    uint64_t open = open_fds(pid);

    if (read_stat(pid, &s)) {
        t->sum.ticks += s.ticks;
        t->sum.virtual_bytes += s.virtual_bytes;
        t->sum.resident_bytes += s.resident_bytes;
    }
    if (open > t->open && prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0) {
        t->open = open;
        t->max = limit.rlim_cur;
    }
}

static void add_children(struct totals *t, pid_t master)
{
    char path[64], text[8192], *save = NULL;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)master, (int)master);
    if (!read_file(path, text, sizeof text))
        return;
    for (char *s = strtok_r(text, " ", &save); s; s = strtok_r(NULL, " ", &save))
        add_process(t, (pid_t)strtol(s, NULL, 10));
}

static enum err print(struct buf *out, const char *name, const char *type, const char *help,
                      double value)
{
    enum err e = prom_head(out, name, type, help);

    return e ? e : buf_printf(out, "%s %.15g\n", name, value);
}

enum err process_stats_print(struct buf *out)
{
    static double cpu_last;
    pid_t master = getppid();
    struct totals t = {0};
    struct stats own;
    uint64_t boot = boot_time();
    double hz = (double)sysconf(_SC_CLK_TCK);

    if (!boot || !read_stat(master, &own))
        return ERR_OK;
    add_process(&t, master);
    add_children(&t, master);
    /* A child that ends while we read is missing once: a counter must not go back for that. */
    double cpu = (double)(t.sum.ticks + own.ended_ticks) / hz;
    if (cpu < cpu_last)
        cpu = cpu_last;
    cpu_last = cpu;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"process_cpu_seconds_total", "counter", "CPU time of all processes of the role", cpu},
        {"process_resident_memory_bytes", "gauge",
         "Resident memory of all processes of the role; what they share counts for each",
         (double)t.sum.resident_bytes},
        {"process_virtual_memory_bytes", "gauge", "Virtual memory of all processes of the role",
         (double)t.sum.virtual_bytes},
        {"process_start_time_seconds", "gauge", "Start of the role's master, since the epoch",
         (double)boot + (double)own.start_ticks / hz},
        {"process_open_fds", "gauge", "File descriptors of the process that has the most open",
         (double)t.open},
        {"process_max_fds", "gauge", "File descriptors that this process may have open",
         (double)t.max},
    };
    size_t n = sizeof rows / sizeof *rows - (t.open ? 0 : 2);
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++)
        e = print(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    return e;
}
