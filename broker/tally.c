#include "broker/tally.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/metrics.h"

#include <string.h>

enum { WARNING_MS = 1000, REPORT_MS = 60000, REPORT_MAX = 1024 };

static const struct {
    const char *label, *warning;
} kinds[TALLY_COUNT_] = {
#define TALLY(id, label, warning) {label, warning},
#include "broker/tally.def"
#undef TALLY
};

void tally_init(struct tally *t, int64_t now)
{
    *t = (struct tally){.next_report = now + REPORT_MS};
}

void tally_add(struct tally *t, enum tally_kind kind, int64_t now)
{
    t->counts[kind]++;
    metric_add(M_BROKER_EVENTS, kind, 1);
    if (!kinds[kind].warning)
        return;
    t->untold[kind]++;
    if (now < t->next_warning[kind])
        return;
    log_warn("%llu %s", (unsigned long long)t->untold[kind], kinds[kind].warning);
    t->untold[kind] = 0;
    t->next_warning[kind] = now + WARNING_MS;
}

void tally_report(struct tally *t, int64_t now, const struct queue *q)
{
    struct buf line = BUF_INIT(REPORT_MAX);
    enum log_level level = LOG_DEBUG;
    enum err e = ERR_OK;

    if (now < t->next_report)
        return;
    t->next_report = now + REPORT_MS;
    for (int k = 0; k < TALLY_COUNT_ && !e; k++) {
        if (!t->counts[k])
            continue;
        e = buf_printf(&line, ", %s %llu", kinds[k].label, (unsigned long long)t->counts[k]);
        if (kinds[k].warning)
            level = LOG_INFO;
    }
    if (line.len)
        log_write(level, "last minute%s; now waiting %zu, in hand %zu", line.data, q->waiting,
                  q->held - q->waiting);
    buf_free(&line);
    memset(t->counts, 0, sizeof t->counts);
}

void tally_show(const struct queue *q, const struct peers peers[2])
{
    for (unsigned s = SERVICE_API; s < SERVICE_COUNT_; s++) {
        metric_set(M_BROKER_WAITING, s, q->waiting_of[s]);
        metric_set(M_BROKER_WORKERS, s, peers[BUS_WORKERS].workers[s]);
    }
    metric_set(M_BROKER_IN_HAND, 0, q->held - q->waiting);
    metric_set(M_BROKER_FRONTENDS, 0, peers[BUS_FRONTENDS].len);
}

void tally_name_metrics(void)
{
    static const char *names[TALLY_COUNT_];

    for (int k = 0; k < TALLY_COUNT_; k++)
        names[k] = kinds[k].label;
    metrics_name_labels(LABELS_BROKER_EVENT, names, TALLY_COUNT_);
}
