/* Number of unfinished jobs by queue. */
#include "common/mem.h"
#include "worker/store/sqlite/sqlite.h"

#include <stdlib.h>

/* Takes the rows of a statement and ends it. */
static enum err take_depths(struct query *r, struct queue_depth *depths, size_t max, size_t *n)
{
    enum err e = ERR_OK;

    while (*n < max && !(e = query_step(r))) {
        struct text queue = query_col_text(r, 0);
        depths[(*n)++] =
            (struct queue_depth){.queue = mem_strndup(queue.s ? queue.s : "", queue.len),
                                 .queue_len = queue.len,
                                 .waiting = query_col_int(r, 1),
                                 .oldest_ms = query_col_int(r, 2) / 1000};
    }
    query_end(r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_queue_depths(struct store *s, const struct text *queues, size_t n,
                             struct queue_depth *depths, size_t max, size_t *ret_n)
{
    struct query r;
    enum err e = ERR_OK;

    *ret_n = 0;
    if (n == 0) {
        r = query_new(sqlite_of(s), SQL_QUEUE_DEPTHS);
        query_int(&r, (int64_t)max);
        e = take_depths(&r, depths, max, ret_n);
    }
    for (size_t i = 0; !e && i < n; i++) {
        r = query_new(sqlite_of(s), SQL_QUEUE_DEPTH);
        query_text(&r, queues[i]);
        e = take_depths(&r, depths, max, ret_n);
    }
    while (e && *ret_n)
        free(depths[--*ret_n].queue);
    return e;
}

/* Sets NUMBER in {QUEUE: {STATE: NUMBER}}. */
static void set_count(json_t *queues, const struct query *r)
{
    struct text queue = query_col_text(r, 0), state = query_col_text(r, 1);
    json_t *states = json_object_getn(queues, queue.s ? queue.s : "", queue.len);

    if (!states) {
        states = json_object();
        json_object_setn_new(queues, queue.s ? queue.s : "", queue.len, states);
    }
    json_object_setn_new(states, state.s, state.len, json_integer(query_col_int(r, 2)));
}

enum err sqlite_queues_busy(struct store *s, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_QUEUES_BUSY);
    json_t *queues = json_object();
    enum err e;

    query_int(&r, BUSY_MAX);
    while (!(e = query_step(&r)))
        set_count(queues, &r);
    query_end(&r);
    if (e != ERR_NOT_FOUND) {
        json_decref(queues);
        return e;
    }
    *ret = queues;
    return ERR_OK;
}

enum err sqlite_queue_times(struct store *s, struct text queue, int64_t since_ms,
                            struct job_wait *waits, size_t *ret_n)
{
    struct query r = query_new(sqlite_of(s), SQL_QUEUE_TIMES);
    size_t n = 0;
    enum err e = ERR_OK;

    query_text(&r, queue);
    query_int(&r, since_ms * 1000);
    query_int(&r, JOB_WAITS_MAX);
    while (n < JOB_WAITS_MAX && !(e = query_step(&r)))
        waits[n++] = (struct job_wait){query_col_int(&r, 0) / 1000, query_col_int(&r, 1)};
    query_end(&r);
    *ret_n = n;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
