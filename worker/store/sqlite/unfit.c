/* Jobs that are too large to be handed out. */
#include "worker/store/sqlite/job.h"

static enum err end_unfit(struct sqlite *q, const struct job_unfit *u)
{
    int64_t id = 0;
    enum err e = sqlite_job_of_claim(q, u->token, &id);

    return e ? e : sqlite_job_end(q, id, "cancelled", u->reason);
}

enum err sqlite_job_unfit(struct store *s, const struct job_unfit *u)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, end_unfit(q, u));
}
