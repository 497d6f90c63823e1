#include "broker/tally.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/metrics.h"

#include <string.h>

enum { WARNING_MS = 1000, REPORT_MS = 60000, REPORT_MAX = 1024 };

static const struct {
    const char *name;
    const char *warning; /* NULL: business as usual */
} kinds[TALLY_COUNT_] = {
    [TALLY_REQUESTS] = {"requests",                           NULL            },
    [TALLY_REPLIES] = {"replies",                            NULL            },
    [TALLY_FULL] = {"rejected, queue full",
                        "the queue was full, clients got 503. Start more workers, or raise "
                    "--queue-limit or --queue-bytes"                          },
    [TALLY_LATE] = {"rejected, too late",
                        "no worker was free before the deadline, clients got 504. Are the workers "
                    "running, and is the store fast? Start more workers if so"},
    [TALLY_AGAIN] = {"sent again",
                        "workers were gone with requests in hand, which go to others. Look for the "
                     "reason in the workers' log"                             },
    [TALLY_GIVEN_UP] = {"given up",
                        "requests were given up since every worker that had them was gone. Look "
                        "for the reason in the workers' log"                  },
    [TALLY_UNDELIVERED] = {"not delivered",                      NULL            },
    [TALLY_STRAY] = {"stray replies",                      NULL            },
    [TALLY_GARBAGE] = {"malformed messages",
                        "messages on the bus were malformed and were dropped. Do all processes run "
                       "the same version, and does nobody else use the bus?"  },
    [TALLY_CROWD] = {"messages of peers beyond the limit",
                        "messages were dropped since the bus has too many peers. Start more brokers "
                     "with fewer peers each"                                  },
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
    log_warn("%s: %llu: %s", kinds[kind].name, (unsigned long long)t->untold[kind],
             kinds[kind].warning);
    t->untold[kind] = 0;
    t->next_warning[kind] = now + WARNING_MS;
}

void tally_report(struct tally *t, int64_t now, size_t waiting, size_t in_hand)
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
        e = buf_printf(&line, ", %s %llu", kinds[k].name, (unsigned long long)t->counts[k]);
        if (kinds[k].warning)
            level = LOG_INFO;
    }
    if (line.len)
        log_write(level, "last minute%s; now waiting %zu, in hand %zu", line.data, waiting,
                  in_hand);
    buf_free(&line);
    memset(t->counts, 0, sizeof t->counts);
}

void tally_name_metrics(void)
{
    static const char *names[TALLY_COUNT_];

    for (int k = 0; k < TALLY_COUNT_; k++)
        names[k] = kinds[k].name;
    metrics_name_labels(LABELS_BROKER_EVENT, names, TALLY_COUNT_);
}
