#include "common/metrics.h"

#include "common/api.h"
#include "common/op.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* Cells of a histogram: its buckets, the unbounded one, the sum. */
#define HISTOGRAM_CELLS (METRIC_BUCKETS + 2)

const struct metric_row metric_rows[METRIC_COUNT_] = {
#define METRIC(id, type, name, labels, roles, help) {#id, name, help, type, labels, roles},
#include "common/metrics.def"
#undef METRIC
};

const int64_t metric_bounds_us[METRIC_BUCKETS] = {
    500,    1000,   2500,   5000,    10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

/* Statuses that are counted separately; the last one stands for all others. */
static const int statuses[] = {200, 202, 204, 308, 400, 401, 403, 404, 405, 409, 410, 411,
                               413, 416, 422, 429, 431, 500, 502, 503, 504, 505, 507, 0};
enum { STATUSES = sizeof statuses / sizeof *statuses };

static const char *const services[SERVICE_COUNT_] = {
    [SERVICE_LOCAL] = "local",
    [SERVICE_API] = "api",
    [SERVICE_WEBHOOK] = "webhook",
    [SERVICE_LOGIN] = "login",
};

static const char *const errors[] = {
#define ERR(name, status, retry, text) #name,
#include "common/err.def"
#undef ERR
};

static struct {
    const char *const *names;
    unsigned len;
} named[LABELS_COUNT_] = {
    [LABELS_SERVICE] = {services, SERVICE_COUNT_},
    [LABELS_ERROR] = {errors, sizeof errors / sizeof *errors},
};

/* Made before the fork, so that every process has the memory at the same address. */
static _Atomic uint64_t *memory;
static unsigned slots_len;
static size_t slot_cells, first_cell[METRIC_COUNT_];
static _Atomic uint64_t *own; /* this process's slot; NULL: do not count */

void metrics_name_labels(enum metric_labels labels, const char *const *names, unsigned n)
{
    named[labels].names = names;
    named[labels].len = n;
}

unsigned metric_no_route(void)
{
    return OP_COUNT_;
}

unsigned metric_route_status(unsigned route, int status)
{
    unsigned i = 0;

    while (i < STATUSES - 1 && statuses[i] != status)
        i++;
    return route * STATUSES + i;
}

unsigned metric_series(enum metric m)
{
    switch (metric_rows[m].labels) {
    case LABELS_NONE:
        return 1;
    case LABELS_ROUTE:
        return OP_COUNT_ + 1;
    case LABELS_ROUTE_STATUS:
        return (OP_COUNT_ + 1) * STATUSES;
    case LABELS_SERVICE:
    case LABELS_ERROR:
    case LABELS_BROKER:
    case LABELS_BROKER_EVENT:
    case LABELS_STORE_OP:
    case LABELS_FAULT:
    case LABELS_COUNT_:
        break;
    }
    return named[metric_rows[m].labels].len;
}

bool metrics_share(unsigned slots)
{
    size_t cells = 0;

    for (int m = 0; m < METRIC_COUNT_; m++) {
        first_cell[m] = cells;
        cells += metric_series((enum metric)m) *
                 (metric_rows[m].type == SECONDS ? (size_t)HISTOGRAM_CELLS : 1);
    }
    /* Untouched pages take no memory. */
    void *p = mmap(NULL, cells * slots * sizeof *memory, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    memory = p;
    slots_len = slots;
    slot_cells = cells;
    return true;
}

void metrics_use(unsigned slot)
{
    own = memory && slot < slots_len ? memory + slot * slot_cells : NULL;
}

bool metrics_are_on(void)
{
    return own != NULL;
}

/* The slot has one writer: no locked instruction is needed. */
static void raise_cell(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void metric_add(enum metric m, unsigned label, uint64_t n)
{
    if (own && label < metric_series(m))
        raise_cell(own + first_cell[m] + label, n);
}

void metric_set(enum metric m, unsigned label, uint64_t value)
{
    if (own && label < metric_series(m))
        atomic_store_explicit(own + first_cell[m] + label, value, memory_order_relaxed);
}

void metric_time(enum metric m, unsigned label, int64_t us)
{
    unsigned bucket = 0;

    if (!own || label >= metric_series(m))
        return;
    while (bucket < METRIC_BUCKETS && us > metric_bounds_us[bucket])
        bucket++;
    _Atomic uint64_t *cells = own + first_cell[m] + (size_t)label * HISTOGRAM_CELLS;
    raise_cell(cells + bucket, 1);
    raise_cell(cells + HISTOGRAM_CELLS - 1, us > 0 ? (uint64_t)us : 0);
}

void metrics_forget(unsigned slot)
{
    if (!memory || slot >= slots_len)
        return;
    for (int m = 0; m < METRIC_COUNT_; m++)
        for (unsigned i = 0; metric_rows[m].type == GAUGE && i < metric_series((enum metric)m); i++)
            atomic_store(memory + slot * slot_cells + first_cell[m] + i, 0);
}

/* ---- reading ---- */

static uint64_t sum_cell(size_t cell)
{
    uint64_t sum = 0;

    for (unsigned s = 0; s < slots_len; s++)
        sum += atomic_load_explicit(memory + s * slot_cells + cell, memory_order_relaxed);
    return sum;
}

uint64_t metric_total(enum metric m, unsigned label)
{
    return label < metric_series(m) ? sum_cell(first_cell[m] + label) : 0;
}

void metric_histogram(enum metric m, unsigned label, uint64_t counts[METRIC_BUCKETS + 1],
                      uint64_t *ret_sum_us)
{
    size_t first = first_cell[m] + (size_t)label * HISTOGRAM_CELLS;

    for (unsigned i = 0; i <= METRIC_BUCKETS; i++)
        counts[i] = sum_cell(first + i);
    *ret_sum_us = sum_cell(first + HISTOGRAM_CELLS - 1);
}

/* Requests of frontends have no path; their names label them instead. Two series with equal labels
 * would make Prometheus drop the whole scrape. */
static const char *route_label(unsigned op, char out[METRIC_LABEL_SIZE])
{
    const struct route *r = route_of(op);

    if (r)
        snprintf(out, METRIC_LABEL_SIZE, "method=\"%s\",route=\"%s\"",
                 http_method_name(route_method(r)), *route_path(r) ? route_path(r) : route_name(r));
    else
        snprintf(out, METRIC_LABEL_SIZE, "method=\"\",route=\"none\"");
    return out;
}

const char *metric_label(enum metric m, unsigned label, char out[METRIC_LABEL_SIZE])
{
    static const char *const keys[LABELS_COUNT_] = {
        [LABELS_SERVICE] = "service",    [LABELS_ERROR] = "error",
        [LABELS_BROKER] = "broker",      [LABELS_BROKER_EVENT] = "event",
        [LABELS_STORE_OP] = "operation", [LABELS_FAULT] = "reason"};
    enum metric_labels kind = metric_rows[m].labels;
    char route[METRIC_LABEL_SIZE];

    *out = '\0';
    if (kind == LABELS_ROUTE) {
        route_label(label, out);
    } else if (kind == LABELS_ROUTE_STATUS) {
        int status = statuses[label % STATUSES];
        char code[16] = "other";
        if (status)
            snprintf(code, sizeof code, "%d", status);
        snprintf(out, METRIC_LABEL_SIZE, "%.200s,status=\"%s\"",
                 route_label(label / STATUSES, route), code);
    } else if (kind != LABELS_NONE && label < named[kind].len) {
        snprintf(out, METRIC_LABEL_SIZE, "%s=\"%s\"", keys[kind], named[kind].names[label]);
    }
    return out;
}
