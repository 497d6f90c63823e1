#include "worker/webhook/transfer.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/events/receiver.h"
#include "worker/webhook/sign.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

enum { IDLE_CONNECTIONS = 64, HEADER_SIZE = 2048 };

struct transfers {
    struct event_base *base;
    const struct config *cfg;
    transfer_done_fn *done;
    CURLM *multi;
    struct event *timer;
    struct transfer *active;
};

struct transfer {
    struct transfers *all;
    CURL *easy;
    struct curl_slist *headers;
    void *arg;
    char receiver[RECEIVER_SIZE];
    enum address_kind furthest;
    bool follow;
    bool address_refused, cut; /* set by the callbacks */
    unsigned redirects;
    int64_t end; /* ms, monotonic */
    struct buf answer;
    struct transfer *prev, *next;
};

/* ---- the end of a transfer ---- */

static void drop(struct transfer *t)
{
    struct transfers *all = t->all;

    DL_DELETE(all->active, t);
    curl_multi_remove_handle(all->multi, t->easy);
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    buf_free(&t->answer);
    free(t);
}

/* Whether a connection was made; true also for a reused one, whose connect time is 0. */
static bool has_connected(CURL *easy)
{
    curl_off_t connect_us = 0, ready_us = 0;

    curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    return connect_us > 0 || ready_us > 0;
}

static enum fault fault_of(const struct transfer *t, CURLcode code)
{
    if (t->address_refused)
        return FAULT_ADDRESS;
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return FAULT_RESOLVE;
    case CURLE_COULDNT_CONNECT:
        return FAULT_REFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return has_connected(t->easy) ? FAULT_TIMEOUT : FAULT_CONNECTING;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return FAULT_TLS;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return FAULT_BROKEN;
    default:
        return FAULT_PROTOCOL;
    }
}

static struct outcome outcome_of(const struct transfer *t, CURLcode code)
{
    struct outcome o = {0};
    curl_off_t wait = 0;
    long status = 0;

    if (code && !t->cut) {
        o.fault = fault_of(t, code);
        return o;
    }
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 599) {
        o.fault = FAULT_PROTOCOL;
        return o;
    }
    o.status = (int)status;
    o.fault = fault_of_status(o.status);
    if (o.fault && curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        o.retry_after_ms = (wait < INT32_MAX ? (int64_t)wait : INT32_MAX) * 1000;
    return o;
}

/* Follows the redirect with the same method if it leads to the same receiver; false: it does not.
 */
static bool redirect(struct transfer *t, const struct outcome *o)
{
    char receiver[RECEIVER_SIZE], *url = NULL;
    int64_t left = t->end - clock_mono_ms();
    bool moved = o->status == 301 || o->status == 302 || o->status == 307 || o->status == 308;

    if (!t->follow || !moved || t->redirects == REDIRECTS_MAX || left < 1 ||
        curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &url) || !url ||
        receiver_of(url, receiver) || strcmp(receiver, t->receiver) != 0)
        return false;
    t->redirects++;
    buf_free(&t->answer);
    curl_multi_remove_handle(t->all->multi, t->easy);
    curl_easy_setopt(t->easy, CURLOPT_URL, url);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)left);
    return curl_multi_add_handle(t->all->multi, t->easy) == CURLM_OK;
}

static void take_done(struct transfers *all)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(all->multi, &left))) {
        char *private;
        if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private))
            continue;
        void *self = private;
        struct transfer *t = self;
        struct outcome o = outcome_of(t, m->data.result);
        if (redirect(t, &o))
            continue;
        all->done(t->arg, &o, (struct text){t->answer.data ? t->answer.data : "", t->answer.len});
        drop(t);
    }
}

/* ---- libcurl in the event loop ---- */

static void act(struct transfers *all, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(all->multi, fd, what, &running);
    take_done(all);
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    act(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct transfers *all = arg;
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    (void)multi;
    if (ms < 0)
        event_del(all->timer);
    else
        event_add(all->timer, &wait);
    return 0;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct transfers *all = arg;
    struct event *ev = socket_arg;
    short kind =
        (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));

    (void)easy;
    if (ev)
        event_free(ev);
    ev = what == CURL_POLL_REMOVE
             ? NULL
             : event_new(all->base, fd, (short)(kind | EV_PERSIST), on_socket_event, all);
    if (ev)
        event_add(ev, NULL);
    curl_multi_assign(all->multi, fd, ev);
    return 0;
}

struct transfers *transfers_new(struct event_base *base, const struct config *cfg,
                                transfer_done_fn *done)
{
    struct transfers *all = mem_alloc(sizeof *all);

    all->base = base;
    all->cfg = cfg;
    all->done = done;
    all->timer = event_new(base, -1, 0, on_timer, all);
    if (!all->timer || curl_global_init(CURL_GLOBAL_DEFAULT) || !(all->multi = curl_multi_init())) {
        log_error("libcurl cannot be used; is there memory left?");
        transfers_free(all);
        return NULL;
    }
    curl_multi_setopt(all->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(all->multi, CURLMOPT_SOCKETDATA, all);
    curl_multi_setopt(all->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(all->multi, CURLMOPT_TIMERDATA, all);
    curl_multi_setopt(all->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    curl_multi_setopt(all->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    return all;
}

void transfers_free(struct transfers *all)
{
    struct transfer *t, *next;

    if (!all)
        return;
    DL_FOREACH_SAFE(all->active, t, next)
    drop(t);
    if (all->multi)
        curl_multi_cleanup(all->multi);
    curl_global_cleanup();
    if (all->timer)
        event_free(all->timer);
    free(all);
}

/* ---- a transfer ---- */

/* Keeps the first ANSWER_MAX bytes of the answer; ends the transfer when there are more. */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * n, room = ANSWER_MAX - t->answer.len;

    t->cut = len > room;
    if (buf_add(&t->answer, data, len < room ? len : room))
        t->cut = true;
    return t->cut ? 0 : len;
}

/* Checks the address of the connection itself: a check of the name alone fails against DNS
 * rebinding. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *t = arg;

    (void)purpose;
    if (address_kind(&a->addr) > t->furthest) {
        t->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    t->address_refused = false;
    return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

/* Checks reused connections, too: another event may have been allowed an address that this one is
 * not. */
static int before_request(void *arg, char *peer, char *own, int peer_port, int own_port)
{
    struct transfer *t = arg;

    (void)own;
    (void)peer_port;
    (void)own_port;
    if (address_kind_of_text(peer) <= t->furthest)
        return CURL_PREREQFUNC_OK;
    t->address_refused = true;
    return CURL_PREREQFUNC_ABORT;
}

static bool add_header(struct transfer *t, const char *text)
{
    struct curl_slist *longer = curl_slist_append(t->headers, text);

    if (longer)
        t->headers = longer;
    return longer != NULL;
}

static bool add_signature(struct transfer *t, const struct delivery *d, int64_t now)
{
    struct buf line = BUF_INIT(HEADER_SIZE);
    struct buf signature = BUF_INIT(HEADER_SIZE - 64);
    enum err e = sign_event(t->all->cfg->webhook_secret, d->id, now, d->body, &signature);
    bool ok =
        !e && (!signature.len || (!buf_printf(&line, "webhook-signature: %s", signature.data) &&
                                  add_header(t, line.data)));

    buf_free(&signature);
    buf_free(&line);
    return ok;
}

static bool add_headers(struct transfer *t, const struct delivery *d)
{
    int64_t now = clock_wall_us() / 1000000; /* receivers compare it with their own clock */
    char id[64], when[64], number[64], *auth = NULL;
    const char *token = t->all->cfg->webhook_auth;

    snprintf(id, sizeof id, "webhook-id: %s", d->id);
    snprintf(when, sizeof when, "webhook-timestamp: %lld", (long long)now);
    snprintf(number, sizeof number, "webhook-attempt: %lld", (long long)d->try_number);
    bool ok = add_header(t, "Content-Type: application/json") && add_header(t, "Expect:") &&
              add_header(t, id) && add_header(t, when) && add_header(t, number) &&
              add_signature(t, d, now);
    if (ok && d->with_auth && *token) {
        size_t size = strlen(token) + sizeof "Authorization: Bearer ";
        auth = mem_alloc(size);
        snprintf(auth, size, "Authorization: Bearer %s", token);
        ok = add_header(t, auth);
        free(auth);
    }
    return ok;
}

/* Parses the URL as libcurl will, so that it connects to the receiver that was checked. */
static bool is_receiver(const struct delivery *d)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, text[RECEIVER_SIZE] = "";

    if (u && !curl_url_set(u, CURLUPART_URL, d->url, CURLU_NON_SUPPORT_SCHEME) &&
        !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
        !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
        !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
        snprintf(text, sizeof text, "%s://%s:%s", scheme, host, port);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return strcasecmp(text, d->receiver) == 0;
}

static void set_safety(struct transfer *t)
{
    const struct config *cfg = t->all->cfg;
    CURL *e = t->easy;

    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver thread that hangs */
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)cfg->webhook_timeout);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)cfg->webhook_timeout);
    if (*cfg->webhook_ca)
        curl_easy_setopt(e, CURLOPT_CAINFO, cfg->webhook_ca);
}

static enum err prepare(struct transfer *t, const struct delivery *d)
{
    CURL *e = t->easy = curl_easy_init();

    if (!is_receiver(d))
        return ERR_INVALID;
    if (!e || !add_headers(t, d))
        return ERR_INTERNAL;
    set_safety(t);
    curl_easy_setopt(e, CURLOPT_URL, d->url);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, d->body.s);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)d->body.len);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "testflinger-server/" PROJECT_VERSION);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    return ERR_OK;
}

enum err transfer_start(struct transfers *all, const struct delivery *d, void *arg)
{
    struct transfer *t = mem_alloc(sizeof *t);

    t->all = all;
    t->arg = arg;
    t->furthest = d->furthest;
    t->follow = d->follow;
    t->end = clock_mono_ms() + all->cfg->webhook_timeout;
    t->answer = BUF_INIT(ANSWER_MAX);
    snprintf(t->receiver, sizeof t->receiver, "%s", d->receiver);
    DL_APPEND(all->active, t);
    enum err e = prepare(t, d);
    if (!e && curl_multi_add_handle(all->multi, t->easy) != CURLM_OK)
        e = ERR_INTERNAL;
    if (e)
        drop(t);
    return e;
}
