/* Number of unfinished jobs by queue. */
#include "common/mem.h"
#include "worker/store/sqlite/sqlite.h"

#include <stdlib.h>

enum err sqlite_queue_depths(struct store *s, struct queue_depth *depths, size_t max, size_t *ret_n)
{
    struct query r = query_new(sqlite_of(s), SQL_QUEUE_DEPTHS);
    size_t n = 0;
    enum err e = ERR_OK;

    query_int(&r, (int64_t)max);
    while (n < max && !(e = query_step(&r))) {
        struct text queue = query_col_text(&r, 0);
        depths[n++] = (struct queue_depth){.queue = mem_strndup(queue.s ? queue.s : "", queue.len),
                                           .queue_len = queue.len,
                                           .waiting = query_col_int(&r, 1),
                                           .oldest_ms = query_col_int(&r, 2) / 1000};
    }
    query_end(&r);
    if (e && e != ERR_NOT_FOUND) {
        while (n)
            free(depths[--n].queue);
        return e;
    }
    *ret_n = n;
    return ERR_OK;
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
