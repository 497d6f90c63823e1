/* Queues that not everyone may submit to. */
#include "worker/store/sqlite/sqlite.h"

enum err sqlite_queues_restricted(struct store *s, struct queue_check *queues, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct query r = query_new(sqlite_of(s), SQL_RESTRICTED);

        query_text(&r, queues[i].queue);
        enum err e = query_probe(&r);
        if (e && e != ERR_NOT_FOUND)
            return e;
        queues[i].restricted = !e;
    }
    return ERR_OK;
}
