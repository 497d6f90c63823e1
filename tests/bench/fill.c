/* Puts jobs into a queue of a store, many at a time, by the store's own operations: what the server
 * does for as many submits, without HTTP. They wait, or (--finished) an agent has run them. */
#include "common/clock.h"
#include "common/log.h"
#include "worker/logs/key.h"
#include "worker/store/store.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PART       500 /* jobs in one operation */
#define GROUP      8   /* parts that become durable together */
#define TIMEOUT_MS 60000

static const char usage[] =
    "usage: bench-fill --store URI --queue NAME --jobs N [--age SECONDS] [--finished]\n"
    "                  [--fragments N]\n"
    "--age: they were submitted so long ago. --finished: each was claimed and completed, with the\n"
    "results of three phases; --fragments gives each a log of so many fragments. The queue is one\n"
    "in which no other job waits.\n";

static const char line[] = "A line of a log, as long as these are: 2026-01-01T00:00:00.000Z ok\n";
#define LINES 3 /* of a fragment */

struct fill {
    const char *uri, *queue;
    long long jobs, age_s, fragments;
    bool finished;
    uint64_t seed; /* first half of all ids */
};

/* The ids of a request of one kind and of what it makes. */
static void id_make(char id[REQUEST_ID_SIZE], const struct fill *f, char kind, long long i)
{
    snprintf(id, REQUEST_ID_SIZE, "%08x-%04x-4%03x-%c000-%012llx", (unsigned)(f->seed >> 32),
             (unsigned)(f->seed >> 16 & 0xffff), (unsigned)(f->seed & 0xfff), kind, i);
}

static enum err jobs_add(struct store *s, const struct fill *f, long long first, size_t n,
                         int64_t begin_us)
{
    static char ids[PART][REQUEST_ID_SIZE];
    static struct job_new jobs[PART];
    json_t *data = json_pack("{s:s, s:[]}", "job_queue", f->queue, "exclude_agents");

    for (size_t i = 0; i < n; i++) {
        id_make(ids[i], f, '8', first + (long long)i);
        jobs[i] = (struct job_new){.asked = {ids[i], begin_us + first + (int64_t)i, false},
                                   .job_id = ids[i],
                                   .data = data};
    }
    enum err e = store_jobs_add(s, jobs, n);
    for (size_t i = 0; !e && i < n; i++)
        e = jobs[i].err;
    json_decref(data);
    return e;
}

/* Claims n jobs of the queue, which become those of `claims`. */
static enum err jobs_claim(struct store *s, const struct fill *f, long long first, size_t n,
                           struct claim claims[PART])
{
    static char ids[PART][REQUEST_ID_SIZE];
    const struct text queue = {f->queue, strlen(f->queue)};

    for (size_t i = 0; i < n; i++) {
        id_make(ids[i], f, '9', first + (long long)i);
        claims[i] = (struct claim){.asked = {ids[i], clock_wall_us(), false},
                                   .queues = &queue,
                                   .queues_len = 1,
                                   .agent = {"bench-agent", 11}};
    }
    enum err e = store_jobs_claim(s, claims, n);
    for (size_t i = 0; !e && i < n; i++)
        e = claims[i].err;
    return e;
}

static enum err jobs_finish(struct store *s, const struct fill *f, long long first, size_t n,
                            const struct claim claims[PART])
{
    static char ids[PART][REQUEST_ID_SIZE];
    static struct result_put puts[PART];
    json_t *fields = json_pack("{s:{s:i, s:i, s:i}, s:{s:s}}", "status", "setup", 0, "provision", 0,
                               "test", 0, "device_info", "agent_name", "bench-agent");

    for (size_t i = 0; i < n; i++) {
        id_make(ids[i], f, 'a', first + (long long)i);
        puts[i] = (struct result_put){.asked = {ids[i], clock_wall_us(), false},
                                      .job_id = {claims[i].job_id, strlen(claims[i].job_id)},
                                      .fields = fields,
                                      .job_state = "complete",
                                      .agent = {"bench-agent", 11}};
    }
    enum err e = store_results_put(s, puts, n);
    for (size_t i = 0; !e && i < n; i++)
        e = puts[i].err;
    json_decref(fields);
    return e;
}

static enum err logs_add(struct store *s, const struct fill *f, size_t n,
                         const struct claim claims[PART])
{
    static struct log_fragment fragments[PART];
    char text[LINES * sizeof line] = "";
    enum err e = ERR_OK;
    size_t len = 0;

    for (int i = 0; i < LINES; i++)
        memcpy(text + strlen(text), line, sizeof line);
    for (size_t i = 0; !e && i < n * (size_t)f->fragments; i++) {
        const char *id = claims[i / (size_t)f->fragments].job_id;
        fragments[len] = (struct log_fragment){.job_id = {id, strlen(id)},
                                               .type = OUTPUT_OUTPUT,
                                               .phase = 3,
                                               .number = (int64_t)i % f->fragments,
                                               .at_ms = store_now_ms(s),
                                               .text = {text, strlen(text)}};
        log_key(&fragments[len++]);
        if (len < PART && i + 1 < n * (size_t)f->fragments)
            continue;
        e = store_logs_add(s, fragments, len);
        for (size_t k = 0; !e && k < len; k++)
            e = fragments[k].err;
        len = 0;
    }
    return e;
}

/* An agent takes, runs and ends n jobs. */
static enum err jobs_run(struct store *s, const struct fill *f, long long first, size_t n)
{
    static struct claim claims[PART];
    enum err e = jobs_claim(s, f, first, n, claims);

    if (!e)
        e = logs_add(s, f, n, claims);
    if (!e)
        e = jobs_finish(s, f, first, n, claims);
    for (size_t i = 0; i < n; i++) {
        json_decref(claims[i].data);
        free(claims[i].job_id);
    }
    return e;
}

static enum err add_all(struct store *s, const struct fill *f)
{
    int64_t begin_us = clock_wall_us() - f->age_s * 1000000 - f->jobs;
    long long done = 0;
    enum err e = ERR_OK;

    while (!e && done < f->jobs) {
        e = store_group_begin(s);
        for (int i = 0; !e && i < GROUP && done < f->jobs; i++, done += PART) {
            size_t n = f->jobs - done < PART ? (size_t)(f->jobs - done) : PART;
            e = jobs_add(s, f, done, n, begin_us);
            if (!e && f->finished)
                e = jobs_run(s, f, done, n);
        }
        enum err commit = store_group_commit(s);
        e = e ? e : commit;
    }
    return e;
}

static bool option_take(struct fill *f, int c, const char *value)
{
    switch (c) {
    case 's':
        f->uri = value;
        return true;
    case 'q':
        f->queue = value;
        return true;
    case 'j':
        f->jobs = strtoll(value, NULL, 10);
        return true;
    case 'a':
        f->age_s = strtoll(value, NULL, 10);
        return f->age_s >= 0;
    case 'f':
        f->finished = true;
        return true;
    case 'l':
        f->fragments = strtoll(value, NULL, 10);
        return f->fragments >= 0;
    default:
        return false;
    }
}

static bool read_options(struct fill *f, int argc, char **argv)
{
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'},
        {"queue", required_argument, NULL, 'q'},
        {"jobs", required_argument, NULL, 'j'},
        {"age", required_argument, NULL, 'a'},
        {"finished", no_argument, NULL, 'f'},
        {"fragments", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!option_take(f, c, optarg))
            return false;
    return f->uri && f->queue && f->jobs > 0 && (f->finished || !f->fragments) && optind == argc;
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
