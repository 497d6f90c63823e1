#include "worker/store/monitor_probe.h"

#include "common/metrics.h"
#include "common/monitor.h"
#include "common/prom.h"
#include "worker/store/store.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUEUES_MAX = 50 };

struct watch {
    const struct config *cfg;
    const char *uri;
    struct store *store; /* NULL: not open yet */
};

/* ERR_OK: the store answers. */
static enum err look(struct watch *w)
{
    enum err e = w->store ? ERR_OK : store_open(w->uri, w->cfg, &w->store);

    return e ? e : store_ping(w->store);
}

static bool is_ready(void *arg, char reason[MONITOR_REASON_SIZE])
{
    enum err e = ERR_OK;

    if (!metric_total(M_BUS_BROKERS, 0))
        snprintf(reason, MONITOR_REASON_SIZE, "no broker");
    else if ((e = look(arg)))
        snprintf(reason, MONITOR_REASON_SIZE, "store: %s",
                 e == ERR_UNAVAILABLE ? "it does not answer" : "it fails; see the log");
    else
        return true;
    return false;
}

static enum err print_queues(struct buf *out, const char *name, const char *help,
                             const struct queue_depth *depths, size_t n, int64_t now_ms)
{
    enum err e = prom_head(out, name, "gauge", help);

    for (size_t i = 0; i < n && !e; i++) {
        int64_t age = now_ms - depths[i].oldest_ms;
        e = buf_printf(out, "%s{queue=\"", name);
        if (!e)
            e = prom_value(out, (struct text){depths[i].queue, depths[i].queue_len});
        if (!e && now_ms)
            e = buf_printf(out, "\"} %.3f\n", age > 0 ? (double)age / 1e3 : 0.0);
        else if (!e)
            e = buf_printf(out, "\"} %lld\n", (long long)depths[i].waiting);
    }
    return e;
}

static enum err print_up(struct buf *out, bool up)
{
    enum err e = prom_head(out, "testflinger_store_up", "gauge", "1: the store answers");

    return e ? e : buf_printf(out, "testflinger_store_up %d\n", up);
}

/* How many agents are not online, and queues paused; nothing where the store is away. */
static enum err print_holds(struct watch *w, struct buf *out)
{
    static const struct {
        enum hold_kind kind;
        const char *name, *help;
    } rows[] = {{HOLD_AGENT, "testflinger_agents_held", "Agents whose mode is not ONLINE"},
                {HOLD_QUEUE, "testflinger_queues_paused", "Queues that are paused"}};
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < sizeof rows / sizeof *rows; i++) {
        json_t *list = NULL;
        if (store_holds_list(w->store, rows[i].kind, (struct text){0}, &list))
            return ERR_OK;
        e = prom_head(out, rows[i].name, "gauge", rows[i].help);
        if (!e)
            e = buf_printf(out, "%s %zu\n", rows[i].name, json_object_size(list));
        json_decref(list);
    }
    return e;
}

static enum err print_silent(struct watch *w, struct buf *out)
{
    int64_t n;

    if (store_agents_silent_count(w->store, &n))
        return ERR_OK;
    enum err e = prom_head(out, "testflinger_agents_silent", "gauge",
                           "Agents of which nothing was heard for --agent-silent seconds");
    return e ? e : buf_printf(out, "testflinger_agents_silent %lld\n", (long long)n);
}

static enum err more_jobs(void *arg, struct buf *out)
{
    struct watch *w = arg;
    struct queue_depth depths[QUEUES_MAX];
    size_t n = 0;
    bool up = look(w) == ERR_OK &&
              store_queue_depths(w->store, NULL, 0, depths, QUEUES_MAX, &n) == ERR_OK;
    enum err e = print_up(out, up);

    if (!e)
        e = print_queues(out, "testflinger_queue_waiting_jobs",
                         "Jobs that wait, of the 50 queues with the most", depths, n, 0);
    if (!e)
        e = print_queues(out, "testflinger_queue_oldest_waiting_seconds",
                         "Age of the oldest job that waits, of the same queues", depths, n,
                         store_now_ms(w->store));
    if (!e && up)
        e = print_holds(w, out);
    if (!e && up)
        e = print_silent(w, out);
    for (size_t i = 0; i < n; i++)
        free(depths[i].queue);
    return e;
}

static enum err print_gauge(struct buf *out, const char *name, const char *help, double value)
{
    enum err e = prom_head(out, name, "gauge", help);

    return e ? e : buf_printf(out, "%s %.3f\n", name, value);
}

static enum err more_events(void *arg, struct buf *out)
{
    struct watch *w = arg;
    struct outbox_backlog b = {0};
    bool up = look(w) == ERR_OK && store_outbox_count(w->store, &b) == ERR_OK;
    int64_t age_ms = b.oldest_ms ? store_now_ms(w->store) - b.oldest_ms : 0;
    enum err e = print_up(out, up);

    if (e || !up)
        return e;
    e = print_gauge(out, "testflinger_webhook_backlog", "Events that are not delivered yet",
                    (double)b.pending);
    if (!e)
        e = print_gauge(out, "testflinger_webhook_oldest_seconds", "Age of the oldest of them",
                        age_ms > 0 ? (double)age_ms / 1e3 : 0.0);
    if (!e)
        e = print_gauge(out, "testflinger_webhook_dead_letters",
                        "Events that were given up, and are kept", (double)b.dead);
    return e;
}

int watch_run(const struct config *cfg, enum role_bit role, const char *store_uri, int stop_fd)
{
    struct watch w = {.cfg = cfg, .uri = store_uri};
    struct monitor m = {.role = role,
                        .arg = &w,
                        .is_ready = is_ready,
                        .more = role == R_WEBHOOK ? more_events : more_jobs};
    int status = monitor_run(cfg, &m, stop_fd);

    store_close(w.store);
    return status;
}

static const char *const operations[] = {
#define STORE_OP(name, params, args) #name,
#include "worker/store/store.def"
#undef STORE_OP
};

void watch_name_metrics(void)
{
    metrics_name_labels(LABELS_STORE_OP, operations, sizeof operations / sizeof *operations);
}
