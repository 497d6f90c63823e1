/* bench-floor: runs one operation of the bare loop in several processes for some seconds and prints
 * one line of JSON. */
#include "tests/bench/floor.h"

#include "tests/bench/hist.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 64
#define WARM_UP_NS    (300 * 1000000LL)
#define NEW_JOBS      (1ULL << 40) /* numbers of submitted jobs: past all prepared ones */

static const char usage[] =
    "usage: bench-floor --store mongodb://HOST:PORT/DATABASE|sqlite:PATH|file:PATH --op OP\n"
    "                   [--processes N] [--seconds S] [--jobs N] [--concern majority|1|journal]\n"
    "                   [--sync full|normal]\n"
    "Makes the store, whose database or file must not be there yet, measures and removes it.\n";

static const char *const op_names[FLOOR_OPS_LEN] = {
#define FLOOR_OP(constant, name) [constant] = name,
    FLOOR_OPS
#undef FLOOR_OP
};

struct plan {
    const char *uri;
    const struct floor_backend *backend;
    struct floor_options options;
    enum floor_op op;
    unsigned processes;
    double seconds;
    uint64_t jobs;
};

/* What the processes share. */
struct shared {
    unsigned ready; /* processes that are connected and wait for the start */
    int64_t start_ns, end_ns;
    struct {
        struct hist hist;
        uint64_t errors;
    } of[PROCESSES_MAX];
};

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

void floor_job_id(uint64_t number, char ret[FLOOR_ID_SIZE])
{
    uint64_t a = mix(number), b = mix(a ^ number);

    snprintf(ret, FLOOR_ID_SIZE, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, (unsigned)(b >> 52),
             (unsigned long long)(b & 0xffffffffffffULL));
}

int64_t floor_wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const char *floor_text(void)
{
    static char text[FLOOR_TEXT_SIZE + 1];

    if (!*text) {
        memset(text, 'o', FLOOR_TEXT_SIZE);
        text[FLOOR_TEXT_SIZE - 1] = '\n';
    }
    return text;
}

/* One process of the loop. Each works on jobs of its own, in no order. */
static void work(const struct plan *p, struct shared *shared, unsigned self)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    void *store = p->backend->open(p->uri, &p->options);
    uint64_t base = p->op == FLOOR_SUBMIT ? NEW_JOBS * (self + 1) : 0;

    __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&shared->end_ns, __ATOMIC_SEQ_CST))
        nanosleep(&pause, NULL);
    int64_t begin = hist_now_ns(), end;
    for (uint64_t i = 0; begin < shared->end_ns; i++, begin = end) {
        uint64_t job = base ? base + i : mix(i * PROCESSES_MAX + self) % (p->jobs ? p->jobs : 1);
        if (!store || !p->backend->run(store, p->op, job)) {
            shared->of[self].errors++;
            break;
        }
        end = hist_now_ns();
        if (end >= shared->start_ns)
            hist_add(&shared->of[self].hist, (uint64_t)(end - begin) / 1000);
    }
    if (store)
        p->backend->close(store);
}

static void report(const struct plan *p, const struct shared *shared, double seconds)
{
    static struct hist all;
    uint64_t errors = 0;

    for (unsigned i = 0; i < p->processes; i++) {
        hist_merge(&all, &shared->of[i].hist);
        errors += shared->of[i].errors;
    }
    printf("{\"op\": \"%s\", \"processes\": %u, \"per_s\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": "
           "%.3f, \"requests\": %llu, \"errors\": %llu}\n",
           op_names[p->op], p->processes, (double)all.count / seconds,
           (double)hist_percentile(&all, 50) / 1000, (double)hist_percentile(&all, 99) / 1000,
           (unsigned long long)all.count, (unsigned long long)errors);
}

/* Starts the processes together, waits for their end. */
static int measure(const struct plan *p, struct shared *shared)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int failed = 0, status;

    fflush(NULL);
    for (unsigned i = 0; i < p->processes; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            work(p, shared, i);
            _exit(shared->of[i].errors ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        if (pid < 0) {
            perror("bench-floor: fork");
            exit(EXIT_FAILURE);
        }
    }
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < p->processes)
        nanosleep(&pause, NULL);
    shared->start_ns = hist_now_ns() + WARM_UP_NS;
    int64_t end = shared->start_ns + (int64_t)(p->seconds * 1e9);
    __atomic_store_n(&shared->end_ns, end, __ATOMIC_SEQ_CST);
    while (wait(&status) > 0)
        failed += status != 0;
    return failed;
}

static int run(const struct plan *p)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) {
        perror("bench-floor: mmap");
        return EXIT_FAILURE;
    }
    /* Prepared in a child as well: no database client lives through a fork. */
    fflush(NULL);
    pid_t pid = fork();
    int status = 0;
    if (pid == 0) {
        void *store = p->backend->open(p->uri, &p->options);
        bool ok = store && p->backend->prepare(store, p->jobs);
        if (store)
            p->backend->close(store);
        _exit(ok ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        return EXIT_FAILURE;
    int failed = measure(p, shared);
    report(p, shared, p->seconds);
    void *store = p->backend->open(p->uri, &p->options);
    if (store) {
        p->backend->drop(store);
        p->backend->close(store);
    }
    munmap(shared, sizeof *shared);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct floor_backend *backend_of(const char *uri)
{
    static const struct floor_backend *const backends[] = {&floor_mongo, &floor_sqlite,
                                                           &floor_file};

    for (size_t i = 0; uri && i < sizeof backends / sizeof *backends; i++)
        if (strncmp(uri, backends[i]->scheme, strlen(backends[i]->scheme)) == 0)
            return backends[i];
    return NULL;
}

static enum floor_op op_of(const char *name)
{
    unsigned op = 0;

    while (op < FLOOR_OPS_LEN && strcmp(name, op_names[op]) != 0)
        op++;
    return (enum floor_op)op;
}

static bool plan_read(struct plan *p, int argc, char **argv)
{
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'},     {"op", required_argument, NULL, 'o'},
        {"processes", required_argument, NULL, 'p'}, {"seconds", required_argument, NULL, 't'},
        {"jobs", required_argument, NULL, 'j'},      {"concern", required_argument, NULL, 'c'},
        {"sync", required_argument, NULL, 'y'},      {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's':
            p->uri = optarg;
            break;
        case 'o':
            p->op = op_of(optarg);
            break;
        case 'p':
            p->processes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            p->seconds = strtod(optarg, NULL);
            break;
        case 'j':
            p->jobs = strtoull(optarg, NULL, 10);
            break;
        case 'c':
            p->options.concern = optarg;
            break;
        case 'y':
            p->options.sync = optarg;
            break;
        default:
            return false;
        }
    }
    p->backend = backend_of(p->uri);
    return p->backend && p->op < FLOOR_OPS_LEN && p->processes >= 1 &&
           p->processes <= PROCESSES_MAX && p->seconds > 0 && optind == argc;
}

int main(int argc, char **argv)
{
    struct plan p = {.op = FLOOR_OPS_LEN, .processes = 1, .seconds = 2, .jobs = 10000};

    if (!plan_read(&p, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    return run(&p);
}
