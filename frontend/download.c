#include "frontend/download.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/op.h"
#include "frontend/piece.h"
#include "frontend/place.h"
#include "frontend/range.h"

#include <event2/bufferevent.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    QUICK_MS = 200,             /* a client that reads a part within this time gets whole pieces */
    WRITE_MAX = 256 * 1024,     /* bytes of one write */
    KERNEL_UNSENT = 128 * 1024, /* bytes that wait in the kernel, beside those under way */
};

/* The end of an answer in parts, until the last one has come. */
#define END_UNKNOWN INT64_MAX

/* Either a piece is being read (`reading`), or the client reads the last one (until on_taken). */
struct download {
    struct exchange x; /* first member */
    struct piece piece;
    char info[FILE_INFO_SIZE];
    int64_t at, end;    /* bytes of the file, or answer, that are not read yet */
    bool reading;       /* a piece is under way */
    bool quick;         /* the client read the last part at once */
    int64_t written_ms; /* when it was handed over */
};

/* Memory for what was fetched and the client has not read yet. */
static bool hold(struct download *d, int64_t bytes)
{
    struct budget_share *held = &d->x.held;

    return (uint64_t)bytes <= held->bytes ||
           budget_take(held, d->x.conn->intake.tenant, (uint64_t)bytes - held->bytes);
}

static void client_gone(struct exchange *x)
{
    struct download *d = (struct download *)x;

    if (!d->reading)
        exchange_free(&d->x);
}

/* Ends an answer that cannot be completed by cutting the connection: the client detects nothing
 * else. */
static void cut(struct download *d, const char *why)
{
    struct evhttp_request *req = d->x.req;

    log_set_request(d->x.id);
    log_warn("download cut: %s %s after %" PRId64 " bytes: %s",
             http_method_name(route_method(d->x.route)), route_path(d->x.route), d->at, why);
    log_set_request(NULL);
    exchange_detach(&d->x);
    exchange_free(&d->x);
    evhttp_connection_free(evhttp_request_get_connection(req));
}

static void finish(struct download *d)
{
    struct evhttp_request *req = exchange_detach(&d->x);
    exchange_free(&d->x);
    evhttp_send_reply_end(req);
}

static void on_read(struct piece *p, enum err e, const struct reply *reply);

/* Requests the next part. The first one needs no more memory than the answer has. */
static void read_on(struct download *d)
{
    int64_t left = d->end - d->at, size = d->quick && hold(d, FILE_PIECE) ? FILE_PIECE : FILE_CHUNK;
    bool file = d->end != END_UNKNOWN;

    if (file && size == FILE_PIECE)
        size -= d->at % FILE_CHUNK; /* chunks are fetched once */
    d->piece.server = d->x.server;
    d->piece.op = file ? OP_FILE_READ : OP_LOG_PART;
    d->piece.origin = d->x.link.origin;
    d->piece.info = d->info;
    d->piece.at = d->at;
    d->piece.size = left < size ? left : size;
    d->piece.done = on_read;
    d->reading = true;
    piece_send(&d->piece);
}

/* The client has read all but what the kernel still holds. */
static void on_taken(struct evhttp_connection *evcon, void *arg)
{
    struct download *d = arg;

    (void)evcon;
    if (d->reading)
        return;
    d->quick = clock_mono_ms() - d->written_ms <= QUICK_MS;
    if (!d->quick)
        budget_give(&d->x.held, (uint64_t)FILE_CHUNK);
    if (d->at == d->end)
        finish(d);
    else
        read_on(d);
}

static void send_part(struct download *d, struct text bytes)
{
    struct evbuffer *part = evbuffer_new();

    mem_check(part && evbuffer_add(part, bytes.s, bytes.len) == 0);
    d->at += (int64_t)bytes.len;
    d->written_ms = clock_mono_ms();
    evhttp_send_reply_chunk_with_cb(d->x.req, part, on_taken, d);
    conn_hold(d->x.conn);
    evbuffer_free(part);
}

/* Notes where the next part begins, or that this one is the last. False: it cannot be. */
static bool take_next(struct download *d, const struct reply *reply)
{
    const char *next = reply_value(reply, PART_NEXT);
    size_t len = next ? strlen(next) : 0;

    if (len >= sizeof d->info)
        return false;
    if (next)
        memcpy(d->info, next, len + 1);
    else
        d->end = d->at + (int64_t)reply->body.len;
    return true;
}

static void on_read(struct piece *p, enum err e, const struct reply *reply)
{
    struct download *d = (struct download *)((char *)p - offsetof(struct download, piece));
    bool file = d->end != END_UNKNOWN;

    d->reading = false;
    if (!d->x.req)
        exchange_free(&d->x);
    else if (e || reply->status != 200 || (file && reply->body.len != (size_t)p->size) ||
             (!file && !take_next(d, reply)))
        cut(d, e                      ? err_text(e)
               : reply->status == 404 ? "the file was replaced or removed meanwhile"
                                      : "the store does not give it");
    else if (reply->body.len)
        send_part(d, reply->body);
    else if (d->at == d->end)
        finish(d);
    else
        read_on(d);
}

/* ---- the head of the answer ---- */

static void tune(struct conn *c)
{
    const int unsent = KERNEL_UNSENT;

    setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    bufferevent_set_max_single_write(c->bev, WRITE_MAX);
}

static void add_headers(struct download *d, const struct reply *reply, const struct range *range,
                        const struct file_info *f, const char *etag, const char *date)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(d->x.req);
    char text[96];

    exchange_headers(&d->x, reply);
    evhttp_add_header(out, "ETag", etag);
    evhttp_add_header(out, "Last-Modified", date);
    evhttp_add_header(out, "Accept-Ranges", "bytes");
    if (range->status == 304)
        return;
    snprintf(text, sizeof text, "%" PRId64, range->status == 416 ? 0 : range->end - range->first);
    evhttp_add_header(out, "Content-Length", text);
    if (range->status == 416)
        snprintf(text, sizeof text, "bytes */%" PRId64, f->length);
    else
        snprintf(text, sizeof text, "bytes %" PRId64 "-%" PRId64 "/%" PRId64, range->first,
                 range->end - 1, f->length);
    if (range->status != 200)
        evhttp_add_header(out, "Content-Range", text);
}

static struct range range_of(struct evhttp_request *req, const struct file_info *f,
                             const char *etag, const char *date)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(req);
    bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    struct range_request asked = {.range = head ? NULL : evhttp_find_header(in, "Range"),
                                  .if_range = evhttp_find_header(in, "If-Range"),
                                  .if_none_match = evhttp_find_header(in, "If-None-Match")};

    return range_decide(&asked, f->length, etag, date);
}

static void end_without_body(struct download *d, int status)
{
    struct conn *c = d->x.conn;

    exchange_count(&d->x, status);
    struct evhttp_request *req = exchange_detach(&d->x);
    exchange_free(&d->x);
    evhttp_send_reply(req, status, NULL, NULL);
    conn_hold(c);
}

/* Sends the head of the answer. */
static void start(struct download *d, int status)
{
    exchange_count(&d->x, status);
    d->quick = true;
    d->x.client_gone = client_gone;
    tune(d->x.conn);
    place_lasts(d->x.conn, true);
    evhttp_send_reply_start(d->x.req, status, NULL);
    conn_hold(d->x.conn);
}

static void begin(struct download *d, const struct reply *reply, const struct file_info *f)
{
    bool head = evhttp_request_get_command(d->x.req) == EVHTTP_REQ_HEAD;
    char etag[FILE_ID_SIZE + 2], date[RANGE_DATE_SIZE];

    snprintf(etag, sizeof etag, "\"%s\"", f->id);
    range_date(f->date_ms, date);
    struct range range = range_of(d->x.req, f, etag, date);
    bool has_body = !head && range.status < 300 && range.first < range.end;
    if (has_body && !hold(d, FILE_CHUNK)) {
        exchange_end(&d->x, ERR_FULL, NULL);
        return;
    }
    add_headers(d, reply, &range, f, etag, date);
    if (!has_body) {
        end_without_body(d, range.status);
        return;
    }
    memcpy(d->info, reply->body.s, reply->body.len);
    d->at = range.first;
    d->end = range.end;
    start(d, range.status);
    read_on(d);
}

static void on_opened(struct link_request *r, enum err e, const struct reply *reply)
{
    struct download *d = (struct download *)r;
    struct file_info f;

    if (!e && d->x.req && reply->status == 200) {
        if (file_info_parse(reply->body, &f)) {
            begin(d, reply, &f);
            return;
        }
        log_error("refusing a download: cannot parse the worker's info of the file; run the same "
                  "release in all processes");
        e = ERR_INTERNAL;
    }
    exchange_end(&d->x, e, reply);
}

const struct exchange_kind download_kind = {.size = sizeof(struct download), .reply = on_opened};

/* ---- answers in parts ---- */

/* Without a length: who wrote the log goes on. */
static void begin_parts(struct download *d, const struct reply *reply)
{
    if (!hold(d, FILE_CHUNK)) {
        exchange_end(&d->x, ERR_FULL, NULL);
        return;
    }
    exchange_headers(&d->x, reply);
    evhttp_remove_header(evhttp_request_get_output_headers(d->x.req), PART_NEXT);
    if (evhttp_request_get_command(d->x.req) == EVHTTP_REQ_HEAD) {
        end_without_body(d, reply->status);
        return;
    }
    d->end = END_UNKNOWN;
    start(d, reply->status);
    if (reply->body.len)
        send_part(d, reply->body);
    else
        read_on(d);
}

static void on_first(struct link_request *r, enum err e, const struct reply *reply)
{
    struct download *d = (struct download *)r;

    if (e || !d->x.req || reply->status != 200 || !reply_value(reply, PART_NEXT) ||
        reply->body.len > (size_t)FILE_CHUNK + 1024 || !take_next(d, reply))
        exchange_end(&d->x, e, reply);
    else
        begin_parts(d, reply);
}

const struct exchange_kind parts_kind = {.size = sizeof(struct download), .reply = on_first};
