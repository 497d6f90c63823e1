#include "worker/store/sqlite/live.h"

struct query query_of_type(struct sqlite *q, enum sql which, struct text job_id,
                           enum output_type type)
{
    struct query r = query_new(q, which);

    query_text(&r, job_id);
    query_int(&r, type);
    return r;
}

static enum err again(struct sqlite *q, struct live_take *t, const struct live_source *from)
{
    enum err e = from->again(q, t);

    t->again = !e;
    return e;
}

/* Probes with a read first: polling readers must not queue for the write lock. */
enum err sqlite_live_take(struct sqlite *q, struct live_take *t, const struct live_source *from)
{
    struct query any = query_of_type(q, from->fresh, t->job_id, t->type);
    enum err e = query_probe(&any);

    if (e == ERR_NOT_FOUND)
        return again(q, t, from);
    if (!e)
        e = sqlite_write_begin(q);
    if (e)
        return e;
    e = again(q, t, from);
    return sqlite_write_end(q, e == ERR_NOT_FOUND ? from->take(q, t) : e);
}
