#include "worker/events/lost_jobs.h"

#include "common/log.h"
#include "common/metrics.h"
#include "common/text.h"
#include "common/utf8.h"
#include "worker/events/server_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_SIZE 256

/* ---- the setting: NAME or NAME=TIMES, separated by commas ---- */

/* Takes the entry at `text`; returns where the next one begins. *ret_times: -1 where it is wrong.
 */
static const char *entry_take(const char *text, struct text *ret_name, int64_t *ret_times)
{
    size_t len = strcspn(text, ",");
    const char *equals = memrchr(text, '=', len);
    char *end;

    *ret_name = (struct text){text, equals ? (size_t)(equals - text) : len};
    *ret_times = 1;
    if (equals) {
        *ret_times = strtol(equals + 1, &end, 10);
        if (end != text + len || end == equals + 1 || *ret_times < 0 || *ret_times > RERUNS_MAX)
            *ret_times = -1;
    }
    return text + len + (text[len] == ',');
}

int64_t lost_jobs_reruns_of(const char *setting, const char *queue)
{
    struct text name;
    int64_t times;

    while (*setting) {
        setting = entry_take(setting, &name, &times);
        if (name.len == strlen(queue) && memcmp(name.s, queue, name.len) == 0)
            return times;
    }
    return 0;
}

bool lost_jobs_check(const struct config *cfg)
{
    const char *text = cfg->rerun_queues;
    struct text name;
    int64_t times;

    while (*text) {
        text = entry_take(text, &name, &times);
        if (times >= 0 && name.len)
            continue;
        fprintf(stderr,
                "testflinger-worker: rerun-queues: '%s' must be names of queues, separated by "
                "commas, each with =TIMES from 0 to %d where it is not 1\n",
                cfg->rerun_queues, RERUNS_MAX);
        return false;
    }
    return true;
}

/* ---- the sweep ---- */

static bool may_run_again(const struct config *cfg, const struct orphan *o)
{
    int64_t allowed = o->allowed > 0
                          ? o->allowed
                          : lost_jobs_reruns_of(cfg->rerun_queues, o->queue ? o->queue : "");

    return o->reruns < (allowed < RERUNS_MAX ? allowed : RERUNS_MAX);
}

const char *lost_jobs_shown(const char *name, char out[SHOWN_SIZE])
{
    size_t left = name ? strlen(name) : 0, len = 0, n;

    for (; left; left -= n, name += n, len += n) {
        bool is_text = (n = utf8_sequence(name, left)) > 0;
        n = is_text ? n : 1;
        if (len + n >= SHOWN_SIZE)
            break;
        memcpy(out + len, is_text ? name : "?", n);
    }
    out[len] = '\0';
    return len ? out : "(unknown)";
}

/* Why a job is lost. */
enum loss { SILENT, STARTED_AGAIN };

static void write_reason(const struct orphan *o, enum loss why, char reason[REASON_SIZE])
{
    char agent[SHOWN_SIZE], state[SHOWN_SIZE];

    if (why == STARTED_AGAIN)
        snprintf(reason, REASON_SIZE, "agent %s was started again",
                 lost_jobs_shown(o->owner, agent));
    else
        snprintf(reason, REASON_SIZE, "orphaned: agent %s was not heard of in state %s",
                 lost_jobs_shown(o->owner, agent), lost_jobs_shown(o->state, state));
}

static enum err end_one(const struct config *cfg, struct store *s, struct orphan *o, enum loss why,
                        struct sweep *sweep)
{
    char reason[REASON_SIZE];
    struct orphan_end end = {.job_id = {o->job_id, strlen(o->job_id)},
                             .lease_ms = o->lease_ms,
                             .reason = reason,
                             .rerun = may_run_again(cfg, o)};

    write_reason(o, why, reason);
    enum err e = store_orphan_end(s, &end);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    log_warn("job %s %s: %s; see what became of its agent", o->job_id,
             end.rerun ? "waits again" : "is cancelled", reason);
    sweep->done++;
    metric_add(M_LEASES_EXPIRED, 0, 1);
    metric_add(M_LEASES_RERUN, 0, end.rerun);
    server_events_send(cfg, s,
                       &(struct server_event){.job_id = o->job_id,
                                              .agent = o->owner,
                                              .queue = o->queue,
                                              .webhook = o->webhook,
                                              .event = end.rerun ? "job_orphaned" : "job_end",
                                              .detail = reason});
    if (end.rerun && o->queue) {
        sweep->wake[sweep->wake_len++] = o->queue;
        o->queue = NULL;
    }
    return ERR_OK;
}

/* Ends them, and frees them. */
static enum err end_all(const struct config *cfg, struct store *s, struct orphan *orphans, size_t n,
                        enum loss why, struct sweep *sweep)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < n; i++) {
        if (!e && orphans[i].job_id)
            e = end_one(cfg, s, &orphans[i], why, sweep);
        orphan_free(&orphans[i]);
    }
    return e;
}

enum err lost_jobs_sweep(const struct config *cfg, struct store *s, struct sweep *sweep)
{
    struct orphan orphans[SWEEP_MAX];
    size_t n = 0;
    enum err e = store_leases_overdue(s, sweep->now_ms, orphans, &n);
    enum err ended = end_all(cfg, s, orphans, n, SILENT, sweep);

    e = e ? e : ended;
    sweep->more = !e && n == SWEEP_MAX;
    return e;
}

/* Whether the job is the one that its agent has now. */
static bool is_kept(const struct orphan *o, const struct agent_since *agents, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (agents[i].job_id.s && text_is(agents[i].job_id, o->job_id))
            return true;
    return false;
}

void lost_jobs_left(struct call *c, const struct agent_since *agents, size_t n)
{
    struct orphan orphans[SWEEP_MAX];
    struct sweep sweep = {0};
    size_t len = 0;

    if (!n || c->cfg->agent_names == AGENT_NAMES_SHARED)
        return;
    enum err e = store_agents_left(c->store, agents, n, orphans, &len);
    size_t kept = 0;
    for (size_t i = 0; i < len; i++)
        if (orphans[i].job_id && is_kept(&orphans[i], agents, n))
            orphan_free(&orphans[i]);
        else
            orphans[kept++] = orphans[i];
    enum err ended = end_all(c->cfg, c->store, orphans, kept, STARTED_AGAIN, &sweep);
    if (e || ended)
        log_warn("jobs of agents that were started again may still run, until --job-lease ends "
                 "them; see the message before");
    for (size_t i = 0; i < sweep.wake_len; i++) {
        call_wakes(c, (struct text){sweep.wake[i], strlen(sweep.wake[i])});
        free(sweep.wake[i]);
    }
}
