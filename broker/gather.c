#include "broker/gather.h"

#include "broker/work.h"

#include <utlist.h>

/* Until when workers at work are waited for; 0: not now. */
struct waits {
    int64_t free_us;   /* one is expected to be free by then */
    int64_t writer_us; /* one may write, to a store with one writer */
};

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A worker with a big request is not waited for. */
static struct waits look_at_busy(const struct queue *q, const struct peers *workers,
                                 enum service service, int64_t now_us)
{
    int64_t patience_us = pace_patience_us(&q->pace);
    struct waits found = {0};
    struct peer *worker;

    DL_FOREACH (workers->busy[service], worker) {
        if (!worker->hand || worker->hand->is_big)
            continue;
        found.free_us = later(found.free_us, worker->began_us + patience_us);
        if (worker->one_writer && worker->writes)
            found.writer_us = later(found.writer_us, worker->began_us + GATHER_WRITER_US);
    }
    return (struct waits){.free_us = found.free_us > now_us ? found.free_us : 0,
                          .writer_us = found.writer_us > now_us ? found.writer_us : 0};
}

/* Workers with a window take even shares: their answers depend on others. */
static struct gather even_share(const struct queue *q, const struct peers *workers,
                                enum service service)
{
    size_t runnable = queue_runnable(q, service, QUEUE_ALL), n = workers->workers[service];

    return (struct gather){.share = runnable > n ? runnable / n
                                    : runnable   ? 1
                                                 : 0,
                           .kinds = QUEUE_ALL,
                           .look_us = INT64_MAX};
}

struct gather gather_decide(const struct queue *q, const struct peers *workers,
                            enum service service, const struct peer *worker, bool hurry,
                            int64_t now_us)
{
    struct gather g = {.share = BUS_BUNDLE_MAX, .kinds = QUEUE_ALL, .look_us = INT64_MAX};

    if (worker->window)
        return even_share(q, workers, service);
    if (!queue_runnable(q, service, QUEUE_ALL))
        return (struct gather){.look_us = INT64_MAX};
    if (hurry)
        return g;
    struct waits w = look_at_busy(q, workers, service, now_us);
    if (w.writer_us && worker->one_writer) {
        g.kinds = QUEUE_READS;
        if (queue_runnable(q, service, QUEUE_ALL) > queue_runnable(q, service, QUEUE_READS))
            g.look_us = w.writer_us;
    }
    if (!queue_runnable(q, service, g.kinds)) {
        g.share = 0;
    } else if (w.free_us && !queue_fills_bundle(q, service, g.kinds)) {
        g.share = 0;
        g.look_us = w.free_us < g.look_us ? w.free_us : g.look_us;
    }
    return g;
}
