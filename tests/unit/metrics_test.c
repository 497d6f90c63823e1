#include "common/api.h"
#include "common/buf.h"
#include "common/metric_queues.h"
#include "common/metrics.h"
#include "common/op.h"
#include "common/prom.h"
#include "common/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOTS  4
#define QUEUES 3

static const char *const operations[] = {"one", "two"};

static int share(void **state)
{
    (void)state;
    metrics_use(0); /* not shared yet: no effect */
    metric_add(M_RESTARTS, 0, 1);
    assert_false(metrics_are_on());
    metrics_name_labels(LABELS_STORE_OP, operations, 2);
    metrics_share(SLOTS, QUEUES);
    return 0;
}

/* Runs `count` in a process that uses the slot. */
static void in_child(unsigned slot, void (*count)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        metrics_use(slot);
        count();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void count_three(void)
{
    metric_add(M_RESTARTS, 0, 3);
    metric_set(M_BUS_BROKERS, 0, 2);
    metric_add(M_RESTARTS, 1, 100);                         /* there is no such series */
    metric_add(M_HTTP_REQUESTS, UINT32_MAX, 100);           /* likewise */
    metric_time(M_HTTP_SECONDS, metric_no_route() + 1, 10); /* likewise */
}

static void test_sums_outlive_their_process(void **state)
{
    (void)state;
    in_child(0, count_three);
    in_child(1, count_three);
    in_child(1, count_three);     /* the slot's next process goes on */
    in_child(SLOTS, count_three); /* no such slot: counts nothing */
    assert_int_equal(metric_total(M_RESTARTS, 0), 9);
    assert_int_equal(metric_total(M_BUS_BROKERS, 0), 4);
    metrics_forget(1);
    metrics_forget(SLOTS);
    assert_int_equal(metric_total(M_BUS_BROKERS, 0), 2);
    assert_int_equal(metric_total(M_RESTARTS, 0), 9);
}

static void count_times(void)
{
    static const int64_t times[] = {-5, 0, 500, 501, 1000000, 10000001, 3600000000};

    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        metric_time(M_BROKER_WAIT, SERVICE_API, times[i]);
}

static void test_histogram(void **state)
{
    static const struct {
        unsigned bucket;
        uint64_t count;
    } rows[] = {{0, 3}, {1, 1}, {10, 1}, {METRIC_BUCKETS, 2}};
    uint64_t counts[METRIC_BUCKETS + 1], sum;

    (void)state;
    in_child(2, count_times);
    metric_histogram(M_BROKER_WAIT, SERVICE_API, counts, &sum);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(counts[rows[i].bucket], rows[i].count);
    assert_int_equal(sum, 500 + 501 + 1000000 + 10000001 + 3600000000);
    metric_histogram(M_BROKER_WAIT, SERVICE_WEBHOOK, counts, &sum);
    assert_int_equal(sum, 0);
}

static void count_requests(void)
{
    metric_add(M_HTTP_REQUESTS, metric_route_status(OP_JOB_ADD, 200), 7);
    metric_add(M_HTTP_REQUESTS, metric_route_status(OP_JOB_ADD, 299), 1);
    metric_add(M_HTTP_REQUESTS, metric_route_status(metric_no_route(), 404), 2);
    metric_add(M_BUS_ERRORS, ERR_TIMEOUT, 1);
    metric_time(M_STORE_SECONDS, 1, 2000);
}

static void test_text(void **state)
{
    static const char *const lines[] = {
        "# TYPE testflinger_http_requests_total counter\n",
        "testflinger_http_requests_total{method=\"POST\",route=\"/v1/job\",status=\"200\"} 7\n",
        "testflinger_http_requests_total{method=\"POST\",route=\"/v1/job\",status=\"other\"} 1\n",
        "testflinger_http_requests_total{method=\"\",route=\"none\",status=\"404\"} 2\n",
        "testflinger_bus_errors_total{error=\"ERR_TIMEOUT\"} 1\n",
        "testflinger_http_connections 0\n",
    };
    struct buf out = BUF_INIT(1 << 20);

    (void)state;
    in_child(3, count_requests);
    assert_int_equal(prom_print(&out, R_FRONTEND), ERR_OK);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_non_null(strstr(out.data, lines[i]));
    assert_null(strstr(out.data, "store_operation"));
    assert_null(strstr(out.data, "status=\"201\""));
    buf_free(&out);
    assert_int_equal(prom_print(&out, R_WORKER), ERR_OK);
    assert_non_null(strstr(out.data, "seconds_bucket{operation=\"two\",le=\"0.001\"} 0\n"));
    assert_non_null(strstr(out.data, "seconds_bucket{operation=\"two\",le=\"0.0025\"} 1\n"));
    assert_non_null(strstr(out.data, "seconds_bucket{operation=\"two\",le=\"+Inf\"} 1\n"));
    assert_non_null(strstr(out.data, "seconds_sum{operation=\"two\"} 0.002000\n"));
    assert_non_null(strstr(out.data, "seconds_count{operation=\"two\"} 1\n"));
    buf_free(&out);
    out.max = 100;
    assert_int_equal(prom_print(&out, R_WORKER), ERR_TOO_LARGE);
    buf_free(&out);
}

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

/* Labels of series are unique: Prometheus rejects a scrape with a duplicate. */
static void test_endpoints_are_told_apart(void **state)
{
    static char labels[4096][METRIC_LABEL_SIZE];
    unsigned n = metric_series(M_FLASK_SECONDS);

    (void)state;
    assert_true(n <= 4096);
    for (unsigned i = 0; i < n; i++) {
        metric_label(M_FLASK_SECONDS, i, labels[i]);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(labels[i], labels[k]);
    }
    char label[METRIC_LABEL_SIZE];
    metric_label(M_FLASK_SECONDS, metric_endpoint(OP_JOB_GET, HTTP_POST, 404), label);
    assert_string_equal(label, "endpoint=\"v1.job_get_id\",method=\"GET\",status=\"404\"");
    metric_label(M_FLASK_SECONDS, metric_endpoint(OP_CLIENT_PUT, HTTP_PUT, 200), label);
    assert_string_equal(label,
                        "endpoint=\"v1.client_permissions_put\",method=\"PUT\",status=\"200\"");
    metric_label(M_FLASK_SECONDS, metric_endpoint(metric_no_route(), METRIC_HEAD, 404), label);
    assert_string_equal(label, "endpoint=\"None\",method=\"HEAD\",status=\"404\"");
}

static void count_queues(void)
{
    char long_name[300];

    memset(long_name, 'x', sizeof long_name);
    metric_add(M_JOBS, metric_queue(text_of("a\"b")), 1);
    metric_add(M_JOBS, metric_queue(text_of("")), 1);
    metric_add(M_JOBS, metric_queue(text_of("other")), 1);
    metric_add(M_JOBS, metric_queue((struct text){long_name, sizeof long_name}), 1);
}

static void count_more_queues(void)
{
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "queue-%d", i);
        metric_add(M_JOBS, metric_queue(text_of(name)), 1);
    }
}

/* The table is shared and bounded; labels that do not fit share one series. */
static void test_queues(void **state)
{
    static const char *const lines[] = {"testflinger_jobs_total{queue=\"a\\\"b\"} 2\n",
                                        "testflinger_jobs_total{queue=\"\"} 2\n",
                                        "testflinger_jobs_total{queue=\"queue-0\"} 1\n",
                                        "testflinger_jobs_total{queue=\"other\"} 103\n"};
    struct buf out = BUF_INIT(1 << 20);
    unsigned n = 0;

    (void)state;
    in_child(0, count_queues);
    in_child(1, count_queues);
    in_child(1, count_more_queues);
    assert_int_equal(metric_queues_len(), QUEUES + 1);
    assert_int_equal(metric_series(M_JOBS), QUEUES + 1);
    assert_int_equal(prom_print(&out, R_WORKER), ERR_OK);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_non_null(strstr(out.data, lines[i]));
    for (const char *s = out.data; (s = strstr(s, "testflinger_jobs_total{")); s++)
        n++;
    assert_int_equal(n, QUEUES + 1);
    assert_null(strstr(out.data, "testflinger_reservations_total{"));
    buf_free(&out);
}

/* The label made of a value; the caller frees it. */
static char *value_of(struct text t)
{
    struct buf out = BUF_INIT(1000);

    assert_int_equal(prom_value(&out, t), ERR_OK);
    for (size_t i = 0, n; i < out.len; i += n) {
        n = utf8_sequence(out.data + i, out.len - i);
        assert_true(n > 0);
    }
    assert_null(memchr(out.data, '\0', out.len));
    return out.data;
}

/* Two values must be changed, and would be equal if they were only cut or repaired. */
static void assert_two(struct text a, struct text b)
{
    char *one = value_of(a), *other = value_of(b);

    assert_string_not_equal(one, other);
    free(one);
    free(other);
}

static void test_values_are_valid_and_unique(void **state)
{
    char a[400], b[400];

    (void)state;
    for (size_t before = 190; before < 260; before++) { /* cut at each byte of a character */
        memset(a, 'x', sizeof a);
        for (size_t i = before; i + 4 <= sizeof a; i += 4)
            memcpy(a + i, "\xf0\x9f\x98\x80", 4);
        size_t len = before + 4 * ((sizeof a - before) / 4);
        memcpy(b, a, sizeof b);
        b[len - 1] = '\x81';
        assert_two((struct text){a, len}, (struct text){b, len});
    }
    assert_two((struct text){"a\0b", 3}, (struct text){"a\0c", 3});
    assert_two((struct text){"a\0b", 3}, (struct text){"a\xef\xbf\xbd"
                                                       "b",
                                                       5});
    assert_two((struct text){"a\xff", 2}, (struct text){"a\xfe", 2});
    assert_two((struct text){"a\xf0\x9f\x98", 4}, (struct text){"a\xf0\x9f\x99", 4});
}

static void test_values_are_escaped(void **state)
{
    static const struct {
        const char *value, *text;
    } rows[] = {
        {"plain", "plain"}, {"a\"b", "a\\\"b"},
        {"a\\b", "a\\\\b"}, {"a\nb", "a\\nb"},
        {"", ""},           {"caf\xc3\xa9 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xf0\x9f\x98\x80"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = BUF_INIT(1000);
        assert_int_equal(prom_value(&out, text_of(rows[i].value)), ERR_OK);
        assert_string_equal(out.data ? out.data : "", rows[i].text);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_outlive_their_process),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_endpoints_are_told_apart),
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_values_are_escaped),
        cmocka_unit_test(test_values_are_valid_and_unique),
    };

    return cmocka_run_group_tests(tests, share, NULL);
}
