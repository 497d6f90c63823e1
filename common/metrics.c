#include "common/metrics.h"

#include "common/metric_queues.h"
#include "common/op.h"

#include <ctype.h>
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

static const struct metric_bound own_bounds[METRIC_BUCKETS] = {
    {500, "0.0005"},  {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},
    {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};

static const struct metric_bound flask_bounds[METRIC_BUCKETS] = {
    {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"},    {75000, "0.075"},
    {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},  {750000, "0.75"},   {1000000, "1.0"},
    {2500000, "2.5"}, {5000000, "5.0"}, {7500000, "7.5"}, {10000000, "10.0"},
};

const struct metric_bound *metric_bounds(enum metric m)
{
    return metric_rows[m].type == FLASK_SECONDS ? flask_bounds : own_bounds;
}

bool metric_is_histogram(enum metric m)
{
    return metric_rows[m].type == SECONDS || metric_rows[m].type == FLASK_SECONDS;
}

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

/* The slots that were ever used, in no order: readers touch no pages of the others. */
struct used {
    _Atomic unsigned len;
    _Atomic unsigned slots[]; /* number + 1; 0: not written yet */
};

/* Made before the fork, so that every process has the memory at the same address. */
static struct used *used;
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

static unsigned status_index(int status)
{
    unsigned i = 0;

    while (i < STATUSES - 1 && statuses[i] != status)
        i++;
    return i;
}

unsigned metric_route_status(unsigned route, int status)
{
    return route * STATUSES + status_index(status);
}

unsigned metric_method_status(unsigned method, int status)
{
    return method * STATUSES + status_index(status);
}

unsigned metric_endpoint(unsigned route, unsigned method, int status)
{
    return metric_route_status(route < OP_COUNT_ ? route : OP_COUNT_ + method, status);
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
    case LABELS_METHOD_STATUS:
        return METRIC_METHODS * STATUSES;
    case LABELS_ENDPOINT:
        return (OP_COUNT_ + METRIC_METHODS) * STATUSES;
    case LABELS_QUEUE:
        return metric_queues_len();
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

bool metrics_share(unsigned slots, unsigned queues)
{
    size_t cells = 0, head = sizeof *used + slots * sizeof *used->slots;

    head = (head + sizeof *memory - 1) / sizeof *memory;
    metric_queues_share(queues);
    for (int m = 0; m < METRIC_COUNT_; m++) {
        first_cell[m] = cells;
        cells += metric_series((enum metric)m) *
                 (metric_is_histogram((enum metric)m) ? (size_t)HISTOGRAM_CELLS : 1);
    }
    /* Untouched pages take no memory. */
    void *p = mmap(NULL, (head + cells * slots) * sizeof *memory, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    used = p;
    memory = (_Atomic uint64_t *)p + head;
    slots_len = slots;
    slot_cells = cells;
    return true;
}

void metrics_use(unsigned slot)
{
    own = memory && slot < slots_len ? memory + slot * slot_cells : NULL;
    for (unsigned i = 0; own && i < atomic_load(&used->len); i++)
        if (atomic_load(&used->slots[i]) == slot + 1)
            return;
    if (own)
        atomic_store(&used->slots[atomic_fetch_add(&used->len, 1)], slot + 1);
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
    const struct metric_bound *bounds = metric_bounds(m);
    while (bucket < METRIC_BUCKETS && us > bounds[bucket].us)
        bucket++;
    _Atomic uint64_t *cells = own + first_cell[m] + (size_t)label * HISTOGRAM_CELLS;
    raise_cell(cells + bucket, 1);
    raise_cell(cells + HISTOGRAM_CELLS - 1, us > 0 ? (uint64_t)us : 0);
}

void metrics_forget(unsigned slot)
{
    if (!memory || slot >= slots_len)
        return;
    for (int m = 0; m < METRIC_COUNT_; m++) {
        bool gauge = metric_rows[m].type == GAUGE || metric_rows[m].type == GAUGE_MAX;
        for (unsigned i = 0; gauge && i < metric_series((enum metric)m); i++)
            atomic_store(memory + slot * slot_cells + first_cell[m] + i, 0);
    }
}

/* ---- reading ---- */

/* The sum of a cell over all processes, or the highest. */
static uint64_t total_cell(size_t cell, bool highest)
{
    uint64_t total = 0;

    for (unsigned i = 0, n = used ? atomic_load(&used->len) : 0; i < n; i++) {
        unsigned slot = atomic_load_explicit(&used->slots[i], memory_order_relaxed);
        if (!slot)
            continue;
        uint64_t value =
            atomic_load_explicit(memory + (slot - 1) * slot_cells + cell, memory_order_relaxed);
        if (!highest)
            total += value;
        else if (value > total)
            total = value;
    }
    return total;
}

uint64_t metric_total(enum metric m, unsigned label)
{
    return label < metric_series(m)
               ? total_cell(first_cell[m] + label, metric_rows[m].type == GAUGE_MAX)
               : 0;
}

void metric_histogram(enum metric m, unsigned label, uint64_t counts[METRIC_BUCKETS + 1],
                      uint64_t *ret_sum_us)
{
    size_t first = first_cell[m] + (size_t)label * HISTOGRAM_CELLS;

    for (unsigned i = 0; i <= METRIC_BUCKETS; i++)
        counts[i] = total_cell(first + i, false);
    *ret_sum_us = total_cell(first + HISTOGRAM_CELLS - 1, false);
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

static const char *method_text(unsigned method)
{
    return method < HTTP_METHOD_COUNT_ ? http_method_name((enum http_method)method)
           : method == METRIC_HEAD     ? "HEAD"
           : method == METRIC_OPTIONS  ? "OPTIONS"
                                       : "other";
}

/* The words of the path and the method: "v1.job_events_post"; "_id" marks a GET of one of several.
 */
static void endpoint_name(const struct route *r, char *out, size_t size)
{
    const char *s = route_path(r), *method = http_method_name(route_method(r));
    bool v1 = strncmp(s, "/v1/", 4) == 0, one = false;
    size_t n = (size_t)snprintf(out, size, "%s", v1 ? "v1." : "");

    for (s += v1 ? 3 : 0; *s && n + 1 < size;) {
        size_t len = strcspn(++s, "/");
        one = *s == '<';
        for (size_t i = 0; i < len && !one && n + 2 < size; i++)
            out[n++] = s[i] == '-' ? '_' : s[i];
        if (len && !one)
            out[n++] = '_';
        s += len;
    }
    for (; *method && n + 1 < size; method++)
        out[n++] = (char)tolower((unsigned char)*method);
    snprintf(out + n, size - n, "%s", one && route_method(r) == HTTP_GET ? "_id" : "");
}

static void endpoint_label(unsigned label, const char *code, char out[METRIC_LABEL_SIZE])
{
    unsigned op = label / STATUSES;
    const struct route *r = op < OP_COUNT_ ? route_of(op) : NULL;
    char name[128] = "None"; /* as Flask calls it */

    if (r && *route_path(r))
        endpoint_name(r, name, sizeof name);
    else if (r)
        snprintf(name, sizeof name, "%s", route_name(r));
    snprintf(out, METRIC_LABEL_SIZE, "endpoint=\"%s\",method=\"%s\",status=\"%s\"", name,
             method_text(r ? route_method(r) : op - OP_COUNT_), code);
}

const char *metric_label(enum metric m, unsigned label, char out[METRIC_LABEL_SIZE])
{
    static const char *const keys[LABELS_COUNT_] = {
        [LABELS_SERVICE] = "service",    [LABELS_ERROR] = "error",
        [LABELS_BROKER] = "broker",      [LABELS_BROKER_EVENT] = "event",
        [LABELS_STORE_OP] = "operation", [LABELS_FAULT] = "reason"};
    enum metric_labels kind = metric_rows[m].labels;
    char route[METRIC_LABEL_SIZE], code[16] = "other";

    if (statuses[label % STATUSES])
        snprintf(code, sizeof code, "%d", statuses[label % STATUSES]);
    *out = '\0';
    if (kind == LABELS_ROUTE) {
        route_label(label, out);
    } else if (kind == LABELS_ROUTE_STATUS) {
        snprintf(out, METRIC_LABEL_SIZE, "%.200s,status=\"%s\"",
                 route_label(label / STATUSES, route), code);
    } else if (kind == LABELS_METHOD_STATUS) {
        snprintf(out, METRIC_LABEL_SIZE, "method=\"%s\",status=\"%s\"",
                 method_text(label / STATUSES), code);
    } else if (kind == LABELS_ENDPOINT) {
        endpoint_label(label, code, out);
    } else if (kind != LABELS_NONE && label < named[kind].len) {
        snprintf(out, METRIC_LABEL_SIZE, "%s=\"%s\"", keys[kind], named[kind].names[label]);
    }
    return out;
}
