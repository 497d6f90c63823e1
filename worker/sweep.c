#include "worker/sweep.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <uuid/uuid.h>

/* The turn outlives so many intervals, but not less than this: its end is how long nothing is swept
 * after the death of the process that has it. */
#define TURN_INTERVALS 3
#define TURN_MIN_MS    3000

struct sweeper {
    const struct config *cfg;
    sweep_wake_fn *wake;
    void *arg;
    char id[REQUEST_ID_SIZE];
    int64_t next;     /* ms, monotonic: time of the next step */
    int64_t turn_end; /* likewise; 0: another process has the turn */
    size_t task;      /* the one that comes next */
};

/* ---- tasks: each makes one bounded step; true: there is more of it ---- */

/* Claims that nobody has confirmed. */
static enum err claims(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    sweep->before_ms = sweep->now_ms - w->cfg->claim_timeout * 1000;
    enum err e = store_claims_overdue(s, sweep);
    if (sweep->wake_len)
        log_info("%zu jobs that were handed out did not arrive and wait again", sweep->wake_len);
    return e;
}

static enum err (*const tasks[])(struct sweeper *w, struct store *s, struct sweep *sweep) = {
    claims,
};

enum { TASKS_LEN = sizeof tasks / sizeof *tasks };

/* ---- steps ---- */

static bool take_turn(struct sweeper *w, struct store *s, int64_t now)
{
    int64_t length = TURN_INTERVALS * w->cfg->sweep_interval;
    struct sweep_turn turn = {.owner = w->id, .now_ms = clock_wall_us() / 1000};
    bool mine = false;

    if (length < TURN_MIN_MS)
        length = TURN_MIN_MS;
    if (w->turn_end - now > length / 2)
        return true;
    turn.end_ms = turn.now_ms + length;
    if (store_sweep_turn(s, &turn, &mine)) /* logged; the next step tries again */
        mine = false;
    w->turn_end = mine ? now + length : 0;
    return mine;
}

void sweep_step(struct sweeper *w, struct store *s)
{
    struct sweep sweep = {.now_ms = clock_wall_us() / 1000};
    int64_t now = clock_mono_ms();

    w->next = now + w->cfg->sweep_interval;
    if (w->task == 0 && !take_turn(w, s, now))
        return;
    enum err e = tasks[w->task](w, s, &sweep);
    for (size_t i = 0; i < sweep.wake_len; i++) {
        w->wake(w->arg, sweep.wake[i]);
        free(sweep.wake[i]);
    }
    if (e) {
        w->task = 0;
        return;
    }
    if (!sweep.more)
        w->task = (w->task + 1) % TASKS_LEN;
    if (w->task || sweep.more)
        w->next = now; /* after the requests that have come meanwhile */
}

long sweep_due(const struct sweeper *w)
{
    int64_t left = w->next - clock_mono_ms();

    return left > 0 ? (long)left : 0;
}

struct sweeper *sweep_new(const struct config *cfg, sweep_wake_fn *wake, void *arg)
{
    struct sweeper *w = mem_alloc(sizeof *w);
    uuid_t id;

    uuid_generate_random(id);
    uuid_unparse_lower(id, w->id);
    w->cfg = cfg;
    w->wake = wake;
    w->arg = arg;
    w->next = clock_mono_ms() + cfg->sweep_interval;
    return w;
}

void sweep_free(struct sweeper *w)
{
    free(w);
}
