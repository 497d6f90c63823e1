/* Number of waiting jobs by queue. */
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
