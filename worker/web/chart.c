#include "worker/web/chart.h"

#include "common/clock.h"
#include "common/mem.h"
#include "worker/web/job_row.h"
#include "worker/web/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEIGHT 100 /* of drawings */

/* ---- bars ---- */

void chart_bars(json_t *rows)
{
    json_int_t most = 1;
    json_t *row;
    size_t i;

    json_array_foreach (rows, i, row) {
        json_int_t seconds = json_integer_value(json_object_get(row, "seconds"));
        most = seconds > most ? seconds : most;
    }
    json_array_foreach (rows, i, row)
        json_object_set_new(
            row, "width",
            json_integer(json_integer_value(json_object_get(row, "seconds")) * 100 / most));
}

/* ---- depth of a queue ---- */

#define STEPS      144 /* of 10 minutes */
#define STEP_MS    (CHART_MS / STEPS)
#define HOUR_STEPS 6

/* A job that comes or is taken. */
struct change {
    int64_t at_ms;
    int by;
};

static int by_time(const void *a, const void *b)
{
    const struct change *x = a, *y = b;

    return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

/* The changes since `begin`, sorted; *ret_depth: how many of the jobs waited then. */
static size_t changes_of(const struct job_wait *waits, size_t n, int64_t begin, struct change *ret,
                         int64_t *ret_depth)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        bool waits_on = !waits[i].left_ms;
        if (!waits_on && waits[i].left_ms < begin)
            continue;
        if (waits[i].created_ms < begin)
            ++*ret_depth;
        else
            ret[len++] = (struct change){waits[i].created_ms, 1};
        if (!waits_on)
            ret[len++] = (struct change){waits[i].left_ms, -1};
    }
    qsort(ret, len, sizeof *ret, by_time);
    return len;
}

/* The most that waited at a time in each step; returns the most of all. */
static int64_t fill_steps(const struct change *changes, size_t n, int64_t depth, int64_t begin,
                          int64_t steps[STEPS])
{
    int64_t most = depth;
    size_t at = 0;

    for (int i = 0; i < STEPS; i++) {
        steps[i] = depth;
        for (; at < n && changes[at].at_ms < begin + (i + 1) * STEP_MS; at++) {
            depth += changes[at].by;
            steps[i] = depth > steps[i] ? depth : steps[i];
        }
        most = steps[i] > most ? steps[i] : most;
    }
    return most;
}

/* The area below the steps from the one of `first` on, for the attribute d of a <path>. */
static json_t *area(const int64_t steps[STEPS], int first, int64_t most)
{
    char d[STEPS * 16 + 32];
    size_t len = (size_t)snprintf(d, sizeof d, "M%d %d", first, HEIGHT);

    for (int i = first; i < STEPS; i++)
        if (i == first || steps[i] != steps[i - 1] || i == STEPS - 1)
            len += (size_t)snprintf(d + len, sizeof d - len, "H%dV%d", i,
                                    (int)(HEIGHT - steps[i] * HEIGHT / most));
    snprintf(d + len, sizeof d - len, "H%dV%dZ", STEPS, HEIGHT);
    return json_string(d);
}

/* [{from, most}]: the hours, the last one first. */
static json_t *hours(const int64_t steps[STEPS], int first, int64_t begin)
{
    json_t *all = json_array();

    for (int i = STEPS - HOUR_STEPS; i >= 0 && i + HOUR_STEPS > first; i -= HOUR_STEPS) {
        int64_t most = 0;
        for (int k = i; k < i + HOUR_STEPS; k++)
            most = k >= first && steps[k] > most ? steps[k] : most;
        json_array_append_new(all, json_pack("{s:o, s:I}", "from", page_time(begin + i * STEP_MS),
                                             "most", (json_int_t)most));
    }
    return all;
}

json_t *chart_depth(const struct job_wait *waits, size_t n, bool cut, int64_t waiting,
                    int64_t now_ms)
{
    struct change *changes = mem_alloc((2 * n + 1) * sizeof *changes);
    int64_t end = now_ms - now_ms % STEP_MS + STEP_MS, begin = end - CHART_MS, depth = waiting;
    int64_t steps[STEPS];
    int first = 0;

    for (size_t i = 0; i < n; i++)
        depth -= !waits[i].left_ms;
    if (depth < 0) /* they were counted a moment before */
        depth = 0;
    size_t len = changes_of(waits, n, begin, changes, &depth);
    int64_t most = fill_steps(changes, len, depth, begin, steps);
    free(changes);
    if (cut && waits[n - 1].created_ms > begin)
        first = (int)((waits[n - 1].created_ms - begin) / STEP_MS);
    if (most == 0 || first >= STEPS)
        return json_null();
    return json_pack("{s:I, s:I, s:o, s:b, s:o, s:o}", "most", (json_int_t)most, "now",
                     (json_int_t)waiting, "since", page_time(begin + first * STEP_MS), "is_cut",
                     first > 0, "area", area(steps, first, most), "hours",
                     hours(steps, first, begin));
}

/* ---- an agent's day ---- */

#define MINUTES   1440
#define WIDTH_MIN 4 /* minutes: what is shorter would not be seen */

/* {url, label, class, x, width} of a job that ran in the day; NULL: it did not. *ret_ms: how long
 * in these hours. */
static json_t *block(const json_t *job, int64_t begin, int64_t now_ms, int64_t *ret_ms)
{
    int64_t from = json_integer_value(json_object_get(job, "started_at"));
    const json_t *ended = json_object_get(job, "ended_at");
    int64_t to = json_is_integer(ended) ? json_integer_value(ended) : now_ms;

    if (!from || to < begin || from > now_ms)
        return NULL;
    from = from < begin ? begin : from;
    to = to > now_ms ? now_ms : to;
    *ret_ms = to > from ? to - from : 0;
    int x = (int)((from - begin) / 60000), width = (int)(*ret_ms / 60000);
    width = width < WIDTH_MIN ? WIDTH_MIN : width;
    json_t *row = job_row(job);
    json_object_set_new(row, "x", json_integer(x + width > MINUTES ? MINUTES - width : x));
    json_object_set_new(row, "width", json_integer(width));
    json_object_set_new(row, "started",
                        page_time(json_integer_value(json_object_get(job, "started_at"))));
    return row;
}

json_t *chart_timeline(const json_t *jobs, bool cut, int64_t now_ms)
{
    int64_t begin = now_ms - now_ms % STEP_MS + STEP_MS - CHART_MS, busy = 0, ms;
    json_t *blocks = json_array(), *job;
    size_t i;

    json_array_foreach (jobs, i, job) {
        json_t *one = block(job, begin, now_ms, &ms);
        if (!one)
            continue;
        busy += ms;
        json_array_append_new(blocks, one);
    }
    size_t n = json_array_size(blocks);
    if (n == 0) {
        json_decref(blocks);
        return json_null();
    }
    return json_pack("{s:i, s:i, s:b, s:o}", "count", (int)n, "busy",
                     (int)(busy > CHART_MS ? 100 : busy * 100 / CHART_MS), "is_cut",
                     cut && n == json_array_size(jobs), "blocks", blocks);
}

/* ---- provisionings a day ---- */

#define DAYS_MAX 14
#define DAY_LEN  10 /* YYYY-MM-DD */

static void count(json_t *days, const json_t *entry)
{
    int64_t ms = json_integer_value(json_object_get(entry, "timestamp"));
    bool failed = json_integer_value(json_object_get(entry, "exit_code")) != 0;
    char date[CLOCK_TEXT_SIZE];
    json_t *day = json_array_get(days, json_array_size(days) - 1);

    clock_rfc3339(ms, date);
    date[DAY_LEN] = '\0';
    if (!day || strcmp(json_string_value(json_object_get(day, "date")), date) != 0) {
        day = json_pack("{s:s, s:i, s:i}", "date", date, "passed", 0, "failed", 0);
        json_array_append_new(days, day);
    }
    const char *key = failed ? "failed" : "passed";
    json_object_set_new(day, key, json_integer(json_integer_value(json_object_get(day, key)) + 1));
}

static json_int_t of_day(const json_t *day, const char *key)
{
    return json_integer_value(json_object_get(day, key));
}

/* Adds the places of the two bars of a day. */
static void place(json_t *day, int x, json_int_t most)
{
    int good = (int)(of_day(day, "passed") * HEIGHT / most);
    int bad = (int)(of_day(day, "failed") * HEIGHT / most);

    json_object_set_new(day, "x", json_integer(x));
    json_object_set_new(day, "good_y", json_integer(HEIGHT - good));
    json_object_set_new(day, "good", json_integer(good));
    json_object_set_new(day, "bad_y", json_integer(HEIGHT - good - bad));
    json_object_set_new(day, "bad", json_integer(bad));
}

json_t *chart_provisions(const json_t *log)
{
    json_t *days = json_array(), *entry, *day;
    json_int_t passed = 0, all = 0, most = 1;
    size_t i;

    json_array_foreach (log, i, entry)
        if (json_is_integer(json_object_get(entry, "timestamp")))
            count(days, entry);
    while (json_array_size(days) > DAYS_MAX)
        json_array_remove(days, 0);
    json_array_foreach (days, i, day) {
        json_int_t n = of_day(day, "passed") + of_day(day, "failed");
        passed += of_day(day, "passed");
        all += n;
        most = n > most ? n : most;
    }
    json_array_foreach (days, i, day)
        place(day, (int)(DAYS_MAX - json_array_size(days) + i) * 10 + 1, most);
    int n = (int)json_array_size(days);
    if (n == 0) {
        json_decref(days);
        return json_null();
    }
    return json_pack("{s:i, s:b, s:I, s:I, s:i, s:o}", "count", n, "is_one", n == 1, "passed",
                     passed, "all", all, "width", DAYS_MAX * 10, "days", days);
}
