/* Metrics: counters, gauges and histograms of fixed buckets; one row a metric in metrics.def.
 *
 * They live in memory that the master shares with its children, one slot a child, so that counting
 * takes no lock and no message, and what a child has counted outlives it. metrics_total and prom.c
 * add the slots up. Before metrics_share, or without it, counting has no effect. */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include "common/api.h"
#include "common/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FLASK_SECONDS: a histogram with the buckets of Prometheus' Python library. */
enum metric_type { COUNTER, GAUGE, GAUGE_MAX, SECONDS, FLASK_SECONDS };

enum metric {
#define METRIC(id, type, name, labels, roles, help) id,
#include "common/metrics.def"
#undef METRIC
    METRIC_COUNT_
};

enum metric_labels {
    LABELS_NONE,
    LABELS_ROUTE,         /* enum op, or METRIC_NO_ROUTE */
    LABELS_ROUTE_STATUS,  /* metric_route_status() */
    LABELS_METHOD_STATUS, /* metric_method_status() */
    LABELS_ENDPOINT,      /* metric_endpoint() */
    LABELS_QUEUE,         /* metric_queue() */
    LABELS_SERVICE,       /* enum service */
    LABELS_ERROR,         /* enum err */
    LABELS_BROKER,        /* named by metrics_name_labels */
    LABELS_BROKER_EVENT,  /* named by metrics_name_labels */
    LABELS_STORE_OP,      /* named by metrics_name_labels */
    LABELS_FAULT,         /* named by metrics_name_labels */
    LABELS_COUNT_
};

struct metric_row {
    const char *id, *name, *help;
    enum metric_type type;
    enum metric_labels labels;
    unsigned roles; /* enum role_bit */
};

extern const struct metric_row metric_rows[METRIC_COUNT_];

#define METRIC_LABEL_SIZE 256

/* Methods of requests: enum http_method and these. */
enum metric_method {
    METRIC_HEAD = HTTP_METHOD_COUNT_,
    METRIC_OPTIONS,
    METRIC_OTHER_METHOD,
    METRIC_METHODS
};

/* Upper bounds of the buckets of SECONDS, in microseconds; a last one has no bound. */
#define METRIC_BUCKETS 14
struct metric_bound {
    int64_t us;
    const char *text; /* in seconds */
};
const struct metric_bound *metric_bounds(enum metric m);

bool metric_is_histogram(enum metric m);

/* Sets the names of a label's values when their table is not in common/; before metrics_share. The
 * names must stay valid. */
void metrics_name_labels(enum metric_labels labels, const char *const *names, unsigned n);

/* Makes the shared memory for slots 0 to slots - 1 and for the names of so many queues; call it
 * before children are forked. False: no memory, errno is set, nothing is counted. */
bool metrics_share(unsigned slots, unsigned queues);

/* Makes this process count in this slot. */
void metrics_use(unsigned slot);

/* Removes the gauges of a child that has ended from the sums. */
void metrics_forget(unsigned slot);

/* `label`: the value of the metric's label, 0 with LABELS_NONE; out of range: not counted. */
void metric_add(enum metric m, unsigned label, uint64_t n);
void metric_set(enum metric m, unsigned label, uint64_t value);
void metric_time(enum metric m, unsigned label, int64_t us);

/* Whether counting is on; ask where measuring itself costs time. */
bool metrics_are_on(void);

unsigned metric_no_route(void);
unsigned metric_route_status(unsigned route, int status);
unsigned metric_method_status(unsigned method, int status);
/* `method` counts only with metric_no_route(); other routes have one. */
unsigned metric_endpoint(unsigned route, unsigned method, int status);

/* ---- reading ---- */

/* Number of values of the metric's label. */
unsigned metric_series(enum metric m);

/* `name="value"` pairs of a series, "" with LABELS_NONE. Returns `out`. */
const char *metric_label(enum metric m, unsigned label, char out[METRIC_LABEL_SIZE]);

/* Sum over the slots of a counter or gauge. */
uint64_t metric_total(enum metric m, unsigned label);

/* Histogram: counts by bucket, not cumulative, and the sum of all durations in microseconds. */
void metric_histogram(enum metric m, unsigned label, uint64_t counts[METRIC_BUCKETS + 1],
                      uint64_t *ret_sum_us);

#endif
