#include "common/monitor.h"
#include "common/mem.h"

#include "common/beat.h"
#include "common/log.h"
#include "common/monitor_conns.h"
#include "common/process_stats.h"
#include "common/prom.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif

enum { HEAD_MAX = 8192, SILENCE_S = 10, TEXT_MAX = 4 << 20 };

static void answer(struct evhttp_request *req, int status, const char *type, const char *text,
                   size_t len)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *body = evbuffer_new();

    mem_check(body);
    evhttp_add_header(headers, "Content-Type", type);
    if (status == 503)
        evhttp_add_header(headers, "Retry-After", "1");
    if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD)
        evbuffer_add(body, text, len);
    evhttp_send_reply(req, status, NULL, body);
    evbuffer_free(body);
}

static enum err print_build(struct buf *out)
{
    static const char name[] = "testflinger_build_info";
    enum err e = prom_head(out, name, "gauge", "1, with the version of the server");

    return e ? e
             : buf_printf(out, "%s{version=\"" PROJECT_VERSION "\",compiler=\"" COMPILER "\"} 1\n",
                          name);
}

static void on_metrics(struct evhttp_request *req, void *arg)
{
    const struct monitor *m = arg;
    struct buf out = BUF_INIT(TEXT_MAX);
    enum err e = prom_print(&out, m->role);

    if (!e)
        e = process_stats_print(&out);
    if (!e)
        e = print_build(&out);
    if (!e && m->more)
        e = m->more(m->arg, &out);
    if (e)
        log_warn("sending incomplete metrics: %s; scrape again later", err_text(e));
    answer(req, out.len ? 200 : 500, PROM_CONTENT_TYPE, out.data ? out.data : "", out.len);
    buf_free(&out);
}

/* `word`: the state when `holds`. */
static void answer_state(struct evhttp_request *req, bool holds, const char *word,
                         const char *reason)
{
    char text[MONITOR_REASON_SIZE + 64];

    if (holds)
        snprintf(text, sizeof text, "{\"status\": \"%s\"}", word);
    else
        snprintf(text, sizeof text, "{\"status\": \"not %s\", \"reason\": \"%s\"}", word, reason);
    answer(req, holds ? 200 : 503, "application/json", text, strlen(text));
}

static void on_healthz(struct evhttp_request *req, void *arg)
{
    char reason[BEAT_REASON_SIZE];
    bool healthy = beat_health(reason);

    (void)arg;
    answer_state(req, healthy, "ok", reason);
}

static void on_readyz(struct evhttp_request *req, void *arg)
{
    const struct monitor *m = arg;
    char reason[MONITOR_REASON_SIZE] = "";

    if (!beat_health(reason)) {
        answer_state(req, false, "ready", reason);
        return;
    }
    bool ready = m->is_ready(m->arg, reason);
    answer_state(req, ready, "ready", reason);
}

static void on_stop(evutil_socket_t fd, short what, void *base)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(base);
}

static void on_library_log(int severity, const char *text)
{
    if (severity >= EVENT_LOG_WARN)
        log_warn("libevent: %s", text);
}

static int listen_on(struct evhttp *http, struct monitor_conns *conns, const struct config *cfg)
{
    uint16_t port = (uint16_t)cfg->metrics_port;
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(http, cfg->metrics_host, port);

    int fault = errno;
    if (bound) {
        monitor_conns_bound(conns, bound);
        return 0;
    }
    struct addrinfo *found = NULL;
    bool known = getaddrinfo(cfg->metrics_host, NULL, NULL, &found) == 0;
    if (known)
        freeaddrinfo(found);
    log_error("cannot listen on %s port %u for metrics: %s; set --metrics-host and --metrics-port",
              cfg->metrics_host, (unsigned)port,
              known ? strerror(fault) : "this is no address of this machine");
    return known && fault == EADDRINUSE ? 1 : EXIT_BAD_SETTING;
}

int monitor_run(const struct config *cfg, const struct monitor *m, int stop_fd)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    struct event *stop = http ? event_new(base, stop_fd, EV_READ, on_stop, base) : NULL;
    struct monitor_conns *conns = http ? monitor_conns_new(base, http) : NULL;
    struct monitor copy = *m; /* the library's callbacks take no pointer to const */
    int status = 1;

    prctl(PR_SET_NAME, "tf-monitor"); /* the name in lists of processes */
    event_set_log_callback(on_library_log);
    if (stop && conns && event_add(stop, NULL) == 0) {
        evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
        evhttp_set_max_headers_size(http, HEAD_MAX);
        evhttp_set_max_body_size(http, 0);
        evhttp_set_timeout(http, SILENCE_S);
        evhttp_set_cb(http, "/metrics", on_metrics, &copy);
        evhttp_set_cb(http, "/healthz", on_healthz, &copy);
        evhttp_set_cb(http, "/readyz", on_readyz, &copy);
        status = listen_on(http, conns, cfg);
        if (!status)
            status = event_base_dispatch(base) >= 0 ? 0 : 1;
    }
    if (stop)
        event_free(stop);
    if (http)
        evhttp_free(http);
    monitor_conns_free(conns);
    if (base)
        event_base_free(base);
    return status;
}
