/* Puts waiting jobs into a queue of a store, many at a time: what the server does for as many
 * submits, without HTTP. */
#include "common/clock.h"
#include "common/log.h"
#include "worker/store/store.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define PART       500 /* jobs in one operation */
#define GROUP      8   /* operations that become durable together */
#define TIMEOUT_MS 60000

static const char usage[] = "usage: bench-fill --store URI --queue NAME --jobs N\n";

struct fill {
    const char *uri, *queue;
    long long jobs;
    uint64_t seed; /* first half of all ids */
};

/* Adds the jobs from `first` on, at most PART of them; `begin_us`: when the first one came. */
static enum err add_part(struct store *s, const struct fill *f, long long first, int64_t begin_us)
{
    static char ids[PART][REQUEST_ID_SIZE];
    static struct job_new jobs[PART];
    json_t *data = json_pack("{s:s, s:[]}", "job_queue", f->queue, "exclude_agents");
    size_t n = 0;

    for (long long i = first; i < f->jobs && n < PART; i++, n++) {
        snprintf(ids[n], sizeof ids[n], "%08x-%04x-4%03x-8000-%012llx", (unsigned)(f->seed >> 32),
                 (unsigned)(f->seed >> 16 & 0xffff), (unsigned)(f->seed & 0xfff), i);
        jobs[n] = (struct job_new){
            .asked = {ids[n], begin_us + i, false}, .job_id = ids[n], .data = data};
    }
    enum err e = store_jobs_add(s, jobs, n);
    for (size_t i = 0; !e && i < n; i++)
        e = jobs[i].err;
    json_decref(data);
    return e;
}

static enum err add_all(struct store *s, const struct fill *f)
{
    int64_t begin_us = clock_wall_us() - f->jobs;
    long long done = 0;
    enum err e = ERR_OK;

    while (!e && done < f->jobs) {
        e = store_group_begin(s);
        for (int i = 0; !e && i < GROUP && done < f->jobs; i++, done += PART)
            e = add_part(s, f, done, begin_us);
        enum err commit = store_group_commit(s);
        e = e ? e : commit;
    }
    return e;
}

static bool read_options(struct fill *f, int argc, char **argv)
{
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'},
        {"queue", required_argument, NULL, 'q'},
        {"jobs", required_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            f->uri = optarg;
        else if (c == 'q')
            f->queue = optarg;
        else if (c == 'j')
            f->jobs = strtoll(optarg, NULL, 10);
        else
            return false;
    }
    return f->uri && f->queue && f->jobs > 0 && optind == argc;
}

int main(int argc, char **argv)
{
    const struct config cfg = {.store_timeout = TIMEOUT_MS, .sqlite_sync = STORE_SYNC_NORMAL};
    struct fill f = {0};
    struct store *s = NULL;
    int64_t begin_us = clock_mono_us();

    if (!read_options(&f, argc, argv) ||
        getrandom(&f.seed, sizeof f.seed, 0) != (ssize_t)sizeof f.seed) {
        fputs(usage, stderr);
        return 2;
    }
    log_setup("bench-fill", LOG_TEXT, LOG_WARN);
    enum err e = store_open(f.uri, &cfg, &s);
    if (!e)
        e = add_all(s, &f);
    store_close(s);
    double seconds = (double)(clock_mono_us() - begin_us) / 1e6;
    printf("{\"jobs\": %lld, \"seconds\": %.3f, \"errors\": %d, \"first_error\": \"%s\"}\n", f.jobs,
           seconds, e ? 1 : 0, e ? err_text(e) : "");
    return e ? 1 : 0;
}
