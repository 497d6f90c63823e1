/* What live output and the fragments of logs share: both are of a job and a type, and are taken. */
#ifndef WORKER_STORE_SQLITE_LIVE_H
#define WORKER_STORE_SQLITE_LIVE_H

#include "worker/store/sqlite/sqlite.h"

/* A statement whose first parameters are the job's id and the type. */
struct query query_of_type(struct sqlite *q, enum sql which, struct text job_id,
                           enum output_type type);

struct live_source {
    enum sql fresh; /* finds what nobody has taken */
    /* What the request took before, and what nobody has; both add to t->entries. ERR_NOT_FOUND. */
    enum err (*again)(struct sqlite *q, struct live_take *t);
    enum err (*take)(struct sqlite *q, struct live_take *t);
};

/* Takes, within a write; what this request took before comes first, alone. ERR_NOT_FOUND. */
enum err sqlite_live_take(struct sqlite *q, struct live_take *t, const struct live_source *from);

#endif
