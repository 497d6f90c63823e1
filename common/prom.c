#include "common/prom.h"

#include "common/metric_queues.h"
#include "common/metrics.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <string.h>

#define VALUE_MAX   256            /* bytes: the longest name of a queue */
#define VALUE_CUT   200            /* bytes of a longer value that are kept */
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const char *const types[] = {[COUNTER] = "counter",
                                    [GAUGE] = "gauge",
                                    [GAUGE_MAX] = "gauge",
                                    [SECONDS] = "histogram",
                                    [FLASK_SECONDS] = "histogram"};

enum err prom_head(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t digest(struct text t)
{
    return fnv_add(FNV_START, t.s, t.len);
}

static enum err add_character(struct buf *out, const char *s, size_t n)
{
    if (n == 1 && *s == '\n')
        return buf_add(out, "\\n", 2);
    if (n == 1 && (*s == '"' || *s == '\\'))
        return buf_printf(out, "\\%c", *s);
    return buf_add(out, s, n);
}

enum err prom_value(struct buf *out, struct text value)
{
    bool whole = value.len <= VALUE_MAX;
    size_t end = whole ? value.len : VALUE_CUT, n;
    enum err e = ERR_OK;

    for (size_t i = 0; i < end && !e; i += n) {
        n = utf8_sequence(value.s + i, value.len - i);
        if (!n || !value.s[i]) {
            whole = false;
            n = 1;
            e = buf_add(out, REPLACEMENT, strlen(REPLACEMENT));
        } else {
            e = add_character(out, value.s + i, n);
        }
    }
    return e || whole ? e : buf_printf(out, "~%016" PRIx64, digest(value));
}

static enum err print_value(struct buf *out, enum metric m, unsigned i, const char *label)
{
    uint64_t value = metric_total(m, i);

    if (!value && *label)
        return ERR_OK;
    return buf_printf(out, "%s%s%s%s %llu\n", metric_rows[m].name, *label ? "{" : "", label,
                      *label ? "}" : "", (unsigned long long)value);
}

static enum err print_histogram(struct buf *out, enum metric m, unsigned i, const char *label)
{
    const char *name = metric_rows[m].name, *comma = *label ? "," : "";
    uint64_t counts[METRIC_BUCKETS + 1], sum_us, seen = 0;
    enum err e = ERR_OK;

    metric_histogram(m, i, counts, &sum_us);
    for (unsigned b = 0; b <= METRIC_BUCKETS; b++)
        seen += counts[b];
    if (!seen && *label)
        return ERR_OK;
    seen = 0;
    for (unsigned b = 0; b < METRIC_BUCKETS && !e; b++) {
        seen += counts[b];
        e = buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, label, comma,
                       metric_bounds(m)[b].text, (unsigned long long)seen);
    }
    seen += counts[METRIC_BUCKETS];
    if (!e)
        e = buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, label, comma,
                       (unsigned long long)seen);
    const char *open = *label ? "{" : "", *close = *label ? "}" : "";
    if (!e)
        e = buf_printf(out, "%s_sum%s%s%s %.6f\n%s_count%s%s%s %llu\n", name, open, label, close,
                       (double)sum_us / 1e6, name, open, label, close, (unsigned long long)seen);
    return e;
}

/* A counter by queue: the names are any text. */
static enum err print_queue(struct buf *out, enum metric m, unsigned i)
{
    uint64_t value = metric_total(m, i);
    struct text name = metric_queue_name(i);

    if (!value || !name.s)
        return ERR_OK;
    enum err e = buf_printf(out, "%s{queue=\"", metric_rows[m].name);
    if (!e)
        e = prom_value(out, name);
    return e ? e : buf_printf(out, "\"} %llu\n", (unsigned long long)value);
}

static enum err print_series(struct buf *out, enum metric m, unsigned i)
{
    char label[METRIC_LABEL_SIZE];

    if (metric_rows[m].labels == LABELS_QUEUE)
        return print_queue(out, m, i);
    metric_label(m, i, label);
    return metric_is_histogram(m) ? print_histogram(out, m, i, label)
                                  : print_value(out, m, i, label);
}

enum err prom_print(struct buf *out, enum role_bit role)
{
    enum err e = ERR_OK;

    for (int i = 0; i < METRIC_COUNT_ && !e; i++) {
        const struct metric_row *row = &metric_rows[i];
        enum metric m = (enum metric)i;
        if (!(row->roles & role))
            continue;
        e = prom_head(out, row->name, types[row->type], row->help);
        for (unsigned s = 0; s < metric_series(m) && !e; s++)
            e = print_series(out, m, s);
    }
    return e;
}

void prom_print_reference(FILE *out)
{
    static const char *const labels[LABELS_COUNT_] = {
        [LABELS_NONE] = "",
        [LABELS_ROUTE] = "`method`, `route`",
        [LABELS_ROUTE_STATUS] = "`method`, `route`, `status`",
        [LABELS_METHOD_STATUS] = "`method`, `status`",
        [LABELS_ENDPOINT] = "`endpoint`, `method`, `status`",
        [LABELS_QUEUE] = "`queue`",
        [LABELS_SERVICE] = "`service`",
        [LABELS_ERROR] = "`error`",
        [LABELS_BROKER] = "`broker`",
        [LABELS_BROKER_EVENT] = "`event`",
        [LABELS_STORE_OP] = "`operation`",
        [LABELS_FAULT] = "`reason`",
    };
    static const struct {
        unsigned bit;
        const char *name;
    } roles[] = {{R_FRONTEND, "frontend"},
                 {R_BROKER, "broker"},
                 {R_WORKER, "worker"},
                 {R_WEBHOOK, "webhook"}};

    fputs("| metric | type | labels | roles | |\n|---|---|---|---|---|\n", out);
    for (int i = 0; i < METRIC_COUNT_; i++) {
        const struct metric_row *row = &metric_rows[i];
        const char *comma = "";
        fprintf(out, "| `%s` | %s | %s | ", row->name, types[row->type], labels[row->labels]);
        for (size_t r = 0; r < sizeof roles / sizeof *roles; r++)
            if (row->roles & roles[r].bit) {
                fprintf(out, "%s%s", comma, roles[r].name);
                comma = ", ";
            }
        fprintf(out, " | %s |\n", row->help);
    }
}
