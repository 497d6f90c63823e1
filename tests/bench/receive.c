/* bench-receive: a receiver of webhooks that answers 200 to everything, and prints at its end
 * (TERM) one line of JSON: how many it got, how fast, and how long after the time in their bodies.
 */
#include "tests/bench/hist.h"
#include "tests/bench/stamp.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 65536

struct receiver {
    struct event_base *base;
    struct hist hist;
    uint64_t requests, repeats;
    int64_t first_ns, last_ns;
};

static void on_request(struct evhttp_request *request, void *arg)
{
    struct receiver *r = arg;
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    const char *attempt =
        evhttp_find_header(evhttp_request_get_input_headers(request), "webhook-attempt");
    size_t len = evbuffer_get_length(body);
    const unsigned char *text = len <= BODY_MAX ? evbuffer_pullup(body, -1) : NULL;
    int64_t now = hist_now_ns(), sent = text ? stamp_read((const char *)text, len) : 0;

    if (!r->requests++)
        r->first_ns = now;
    r->last_ns = now;
    if (attempt && strcmp(attempt, "1") != 0)
        r->repeats++;
    else if (sent)
        hist_add(&r->hist, (uint64_t)(now - sent) / 1000);
    evhttp_send_reply(request, 200, "OK", NULL);
}

static void on_stop(evutil_socket_t signo, short what, void *arg)
{
    struct receiver *r = arg;

    (void)signo;
    (void)what;
    event_base_loopbreak(r->base);
}

static void report(const struct receiver *r)
{
    double seconds = (double)(r->last_ns - r->first_ns) / 1e9;

    printf("{\"requests\": %llu, \"repeats\": %llu, \"per_s\": %.1f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
           (unsigned long long)r->requests, (unsigned long long)r->repeats,
           seconds > 0 ? (double)r->requests / seconds : 0,
           (double)hist_percentile(&r->hist, 50) / 1000,
           (double)hist_percentile(&r->hist, 99) / 1000, (double)r->hist.max_us / 1000);
}

int main(int argc, char **argv)
{
    static struct receiver r;
    long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;

    r.base = event_base_new();
    struct evhttp *http = r.base ? evhttp_new(r.base) : NULL;
    struct event *stop = http ? evsignal_new(r.base, SIGTERM, on_stop, &r) : NULL;
    if (port < 1 || port > 65535 || !stop || event_add(stop, NULL) != 0 ||
        evhttp_bind_socket(http, "127.0.0.1", (uint16_t)port) != 0) {
        fputs("usage: bench-receive PORT (a free one)\n", stderr);
        return 2;
    }
    evhttp_set_allowed_methods(http, EVHTTP_REQ_PUT | EVHTTP_REQ_POST);
    evhttp_set_gencb(http, on_request, &r);
    event_base_dispatch(r.base);
    report(&r);
    event_free(stop);
    evhttp_free(http);
    event_base_free(r.base);
    return 0;
}
