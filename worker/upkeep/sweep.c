#include "worker/upkeep/sweep.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/random.h"
#include "worker/events/lost_jobs.h"
#include "worker/events/server_events.h"
#include "worker/events/silence.h"

#include <stdlib.h>
#include <string.h>

/* A turn lasts TURN_INTERVALS sweep intervals, at least TURN_MIN_MS. If its owner dies, nothing is
 * swept until the turn ends. */
#define TURN_INTERVALS 3
#define TURN_MIN_MS    3000

/* Slow tasks run in one of so many rounds, beginning with the first. */
#define SLOW_ROUNDS 10

/* Looks for silent agents within --agent-silent. */
#define SILENCE_LOOKS 20

/* Looks for leases that ended, within --job-lease; the most time between two. */
#define LEASE_LOOKS   60
#define LEASE_REST_MS 10000

/* Chunks of files that one step removes at most. */
#define CHUNKS_MAX 64

/* A gap between looks, or a step of the store's clock, that is long enough to have kept agents from
 * renewing leases. */
#define PAUSE_MS 2000

/* The machine's clock differs from the store's by so much more or less than before: log it. */
#define SKEW_MS 1000

/* Looks for secrets of jobs that have them. */
#define SECRETS_REST_MS 5000

enum { TASKS = 6 };

struct sweeper {
    const struct config *cfg;
    sweep_wake_fn *wake;
    void *arg;
    char id[REQUEST_ID_SIZE];
    int64_t next;         /* ms, monotonic: time of the next step */
    int64_t turn_end;     /* likewise; 0: another process has the turn */
    size_t task;          /* index of the next task; walks follow tasks[] */
    int64_t served_since; /* ms, monotonic: start of the leases' grace period */
    unsigned round;       /* of all tasks, counted */
    int64_t stepped;      /* ms, monotonic: step of the store's clock; claims wait, too; 0: none */
    int64_t last;         /* ms of clock_boot_us(): time of the last look; 0: none */
    int64_t offset;       /* ms, of the store's clock to clock_boot_us(), at the last step */
    bool measured;        /* offset is known */
    int64_t skew;         /* ms, of the machine's clock to the store's, when last logged */
    struct expiry walk;
    int64_t due[TASKS]; /* ms, monotonic: a task has nothing to do before */
};

/* ---- tasks: each makes one bounded step ---- */

/* The present task has nothing to do for so long, unless its step has left something. */
static void rest(struct sweeper *w, const struct sweep *sweep, int64_t ms)
{
    w->due[w->task] = sweep->more ? 0 : clock_mono_ms() + ms;
}

/* Claims that nobody has confirmed. After a step of the store's clock each gets its time anew. */
static enum err claims(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    if (w->stepped && clock_mono_ms() - w->stepped < w->cfg->claim_timeout * 1000)
        return ERR_OK;
    sweep->before_ms = sweep->now_ms - w->cfg->claim_timeout * 1000;
    enum err e = store_claims_overdue(s, sweep);
    metric_add(M_CLAIMS_RETURNED, 0, sweep->wake_len);
    if (sweep->wake_len)
        log_info("%zu jobs that were handed out did not arrive and wait again", sweep->wake_len);
    if (!e && sweep->none) /* those that others open from now on are not overdue sooner */
        rest(w, sweep, w->cfg->claim_timeout * 1000);
    return e;
}

/* Ends jobs whose lease ran out. After the server or the store was away, every job gets one lease's
 * time first: no agent could renew meanwhile. */
static enum err lost_jobs(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    int64_t pause = w->cfg->job_lease * 1000 / LEASE_LOOKS;

    if (!w->cfg->job_lease || clock_mono_ms() - w->served_since < w->cfg->job_lease * 1000)
        return ERR_OK;
    enum err e = lost_jobs_sweep(w->cfg, s, sweep);
    rest(w, sweep, pause < LEASE_REST_MS ? pause : LEASE_REST_MS);
    return e;
}

/* Marks agents that are silent, once each could have been heard of. */
static enum err silence(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    if (!w->cfg->agent_silent || clock_mono_ms() - w->served_since < silence_ms(w->cfg))
        return ERR_OK;
    enum err e = silence_sweep(w->cfg, s, sweep);
    rest(w, sweep, w->cfg->agent_silent * 1000 / SILENCE_LOOKS);
    return e;
}

/* Jobs that no agent took within their queue_timeout. */
static enum err queue_timeouts(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    struct queue_timeouts t = {.now_ms = sweep->now_ms};
    enum err e = store_queue_timeouts(s, &t);

    for (size_t i = 0; i < t.cancelled; i++)
        server_events_expired(w->cfg, s, t.cancelled_ids[i], QUEUE_TIMEOUT_REASON);
    if (t.cancelled)
        log_info("%zu jobs were cancelled, no agent took them within their queue_timeout",
                 t.cancelled);
    sweep->more = t.more;
    return e;
}

/* Secrets that jobs have got, and those that have expired. */
static enum err secrets(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    enum err e = s->has_secrets ? store_secrets_sweep(s, &sweep->more) : ERR_OK;

    rest(w, sweep, SECRETS_REST_MS);
    return e;
}

/* Chunks of replaced files and of abandoned uploads. */
static enum err files(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    struct file_sweep step = {.now_ms = sweep->now_ms, .chunks_max = CHUNKS_MAX};
    enum err e = store_files_sweep(s, &step);

    (void)w;
    sweep->more = step.more;
    if (step.removed)
        log_debug("%lld pieces of old files were removed", (long long)step.removed);
    return e;
}

/* The setting of a kind in seconds, and its name in messages. */
static int64_t kept_s(const struct config *cfg, enum expiry_kind kind, const char **ret_name)
{
    switch (kind) {
#define EXPIRY(id, setting, name)                                                                  \
    case id:                                                                                       \
        *ret_name = name;                                                                          \
        return cfg->setting;
        EXPIRIES
#undef EXPIRY
    case EXPIRY_KINDS:
        break;
    }
    return 0;
}

/* Begins or goes on with a walk through the things of one kind. */
static enum err expire(struct sweeper *w, struct store *s, struct sweep *sweep,
                       enum expiry_kind kind)
{
    struct expiry *x = &w->walk;
    const char *name = "";
    int64_t kept_ms = kept_s(w->cfg, kind, &name) * 1000;
    int64_t ended_ms = kept_ms < EXPIRY_ENDED_MS ? kept_ms : EXPIRY_ENDED_MS;

    if (!x->more)
        *x = (struct expiry){.kind = kind};
    x->now_ms = sweep->now_ms;
    x->limits.before_ms = x->now_ms - kept_ms;
    x->limits.ended_before_ms = x->now_ms - ended_ms;
    if (kind == EXPIRY_JOBS && w->cfg->expire_waiting)
        x->limits.waiting_before_ms = x->now_ms - w->cfg->expire_waiting * 1000;
    enum err e = store_expire(s, x);
    metric_add(M_EXPIRED, 0, x->removed);
    if (x->removed)
        log_info("%zu %s were removed, their time is over", x->removed, name);
    for (size_t i = 0; i < x->cancelled; i++)
        server_events_expired(w->cfg, s, x->cancelled_ids[i], EXPIRY_REASON);
    if (x->cancelled)
        log_info("%zu jobs were cancelled, no agent took them in time", x->cancelled);
    sweep->more = !e && x->more;
    x->more = sweep->more;
    return e;
}

static enum err (*const tasks[TASKS])(struct sweeper *w, struct store *s, struct sweep *sweep) = {
    claims, lost_jobs, silence, queue_timeouts, secrets, files,
};

/* The walks follow the tasks. From SLOW_FIRST on they are for slow rounds. */
enum { SLOW_FIRST = 5, WALK_FIRST = TASKS };

static enum err run_task(struct sweeper *w, struct store *s, struct sweep *sweep)
{
    if (w->task < WALK_FIRST)
        return clock_mono_ms() < w->due[w->task] ? ERR_OK : tasks[w->task](w, s, sweep);
    return expire(w, s, sweep, (enum expiry_kind)(w->task - WALK_FIRST));
}

/* ---- steps ---- */

/* False: another process has the turn; w->next is when that ends. */
static bool take_turn(struct sweeper *w, struct store *s, int64_t now)
{
    int64_t length = TURN_INTERVALS * w->cfg->sweep_interval;
    struct sweep_turn turn = {.owner = w->id, .now_ms = store_now_ms(s)};
    bool mine = false;

    if (length < TURN_MIN_MS)
        length = TURN_MIN_MS;
    if (w->turn_end - now > length / 2)
        return true;
    if (!w->turn_end) /* another process may have had it */
        memset(w->due, 0, sizeof w->due);
    turn.end_ms = turn.now_ms + length;
    if (store_sweep_turn(s, &turn, &mine)) { /* logged; the next step tries again */
        w->served_since = now;
        w->turn_end = 0;
        return false;
    }
    w->turn_end = mine ? now + length : 0;
    int64_t left = turn.end_ms - turn.now_ms;
    if (!mine && left > w->cfg->sweep_interval) /* no longer, should the store's clock be set */
        w->next = now + (left < length ? left : length);
    return mine;
}

static void next_task(struct sweeper *w)
{
    w->task++;
    if (w->task == WALK_FIRST + EXPIRY_KINDS || (w->task >= SLOW_FIRST && w->round % SLOW_ROUNDS)) {
        w->task = 0;
        w->round++;
    }
}

/* After a suspend, SIGSTOP or a step of the store's clock, leases look expired although agents
 * could not renew them: restart the grace period. */
static void notice_step(struct sweeper *w, int64_t now, int64_t store_ms)
{
    int64_t offset = store_ms - clock_boot_us() / 1000;

    if (w->measured && llabs(offset - w->offset) > PAUSE_MS) {
        w->stepped = w->served_since = now;
        memset(w->due, 0, sizeof w->due);
        log_warn("the store's clock went %+.1f s: leases and claims get their time once more. Set "
                 "clocks in small steps, by NTP",
                 (double)(offset - w->offset) / 1e3);
    }
    w->measured = true;
    w->offset = offset;
}

void sweep_look(struct sweeper *w, bool heard)
{
    int64_t boot_ms = clock_boot_us() / 1000;

    if (!heard || (w->last && boot_ms - w->last > 2 * w->cfg->sweep_interval + PAUSE_MS))
        w->served_since = clock_mono_ms();
    w->last = boot_ms;
}

/* This machine's clock is in logs and in the dates of webhooks only. */
static void notice_skew(struct sweeper *w, int64_t store_ms)
{
    int64_t skew = clock_wall_us() / 1000 - store_ms;

    if (llabs(skew - w->skew) < SKEW_MS)
        return;
    w->skew = skew;
    log_warn("this machine's clock differs from the store's by %+.1f s, which is what counts; set "
             "it, or, with SQLite, restart the server if it is right",
             (double)skew / 1e3);
}

void sweep_step(struct sweeper *w, struct store *s)
{
    struct sweep sweep = {.now_ms = store_now_ms(s)};
    int64_t now = clock_mono_ms();

    notice_step(w, now, sweep.now_ms);
    notice_skew(w, sweep.now_ms);

    w->next = now + w->cfg->sweep_interval;
    if (w->task == 0 && !take_turn(w, s, now))
        return;
    enum err e = run_task(w, s, &sweep);
    for (size_t i = 0; i < sweep.wake_len; i++) {
        w->wake(w->arg, sweep.wake[i]);
        free(sweep.wake[i]);
    }
    if (e) {
        w->served_since = clock_mono_ms();
        w->task = 0;
        return;
    }
    if (!sweep.more)
        next_task(w);
    if (w->task || sweep.more) /* after as long a pause as it took, in which others may write */
        w->next = 2 * clock_mono_ms() - now;
}

long sweep_due(const struct sweeper *w)
{
    int64_t left = w->next - clock_mono_ms();

    return left > 0 ? (long)left : 0;
}

struct sweeper *sweep_new(const struct config *cfg, sweep_wake_fn *wake, void *arg)
{
    struct sweeper *w = mem_alloc(sizeof *w);

    random_uuid_text(w->id);
    w->cfg = cfg;
    w->wake = wake;
    w->arg = arg;
    w->served_since = clock_mono_ms();
    w->next = w->served_since + cfg->sweep_interval;
    return w;
}

void sweep_free(struct sweeper *w)
{
    free(w);
}
