/* Fuzz target: the framing of HTTP. The intake and the HTTP library run as in the frontend, on a
 * real socket; requests are recorded instead of forwarded. The same bytes must give the same
 * requests and answers however they are cut, and however late the answers come.
 *
 * Input: one byte of flags, the number of sizes (up to 15), the sizes, the client's bytes.
 */
#include "common/config.h"
#include "frontend/acceptor.h"
#include "frontend/conn.h"
#include "frontend/exchange.h"
#include "frontend/http.h"
#include "frontend/spool.h"
#include "tests/fuzz/require.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>

enum {
    LATE = 1,   /* answers, and the permission for a body, come some turns of the loop later */
    REFUSE = 2, /* bodies that need a permission are refused */
    BODIES = 4 << 20, /* limit of bytes of bodies in memory */
    UPLOADS = 1000,   /* a body of more bytes goes to a file */
    TURNS = 3         /* of the loop after each piece */
};

/* Requests and answers, which are compared. */
struct record {
    struct evbuffer *requests, *answers;
    bool closed; /* by the server */
};

static struct config cfg;
static struct server server = {.cfg = &cfg};
static struct sockaddr_un address;
static socklen_t address_len;
static struct record *now;
static struct evhttp_request *waiting; /* waits for its answer */
static struct exchange
    asking; /* the request whose body needs a permission or is being read; req NULL: none */
static bool late, refusing;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(struct evhttp_request *req)
{
    struct conn *c = conn_of(&server, req);

    evhttp_add_header(evhttp_request_get_output_headers(req), "Date", "now");
    evhttp_send_reply(req, 200, "OK", NULL);
    conn_hold(c);
}

static void record_body(struct body *b)
{
    char block[4096];
    ssize_t n;

    evbuffer_add_printf(now->requests, "body of %llu, %s\n", (unsigned long long)b->len,
                        b->fd >= 0 ? "in a file" : "in memory");
    for (uint64_t at = 0; (n = body_read(b, at, block, sizeof block)) > 0; at += (uint64_t)n)
        evbuffer_add(now->requests, block, (size_t)n);
}

static void answer_soon(struct conn *c, struct evhttp_request *req)
{
    if (late) {
        waiting = req;
        conn_watch(c);
    } else {
        answer(req);
    }
}

/* As in the frontend, the exchange frees the request when the client disconnects. */
static void asked(struct conn *c, struct evhttp_request *req)
{
    asking.req = req;
    asking.conn = c;
    c->exchange = req ? &asking : NULL;
}

/* Permits or refuses the body of `asking`. */
static void decide(struct conn *c)
{
    struct evhttp_request *req = asking.req;

    require(req && c->intake.state == INTAKE_ASKED);
    if (!refusing) {
        conn_let_body(c);
        return;
    }
    asked(c, NULL);
    if (!intake_refuse(&c->intake, false))
        evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    answer(req);
}

/* Replaces forward_body. */
static void on_body(struct conn *c)
{
    struct evhttp_request *req = asking.req;
    struct body body;

    require(req && !refusing);
    asked(c, NULL);
    evbuffer_add_printf(now->requests, "then %d, ", intake_body(&c->intake, &body));
    record_body(&body);
    body_free(&body);
    if (c->intake.unread)
        evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    answer_soon(c, req);
}

/* Replaces serve_request. */
static void on_request(struct evhttp_request *req, void *arg)
{
    struct conn *c = conn_of(&server, req);
    struct intake_item *item = conn_claim(c, req);
    struct evkeyvalq *in = evhttp_request_get_input_headers(req);
    struct evkeyval *h;

    (void)arg;
    require(item);
    require(!waiting);
    require(evbuffer_get_length(evhttp_request_get_input_buffer(req)) == 0);
    require(evbuffer_get_length(bufferevent_get_input(c->bev)) == 0);
    require(!evhttp_find_header(in, "Content-Length"));
    require(!evhttp_find_header(in, "Transfer-Encoding"));
    require(!evhttp_find_header(in, "Expect"));
    require(item->verdict || strlen(item->target) == item->target_len);
    evbuffer_add_printf(now->requests, "\n%d %s: %d\n", (int)evhttp_request_get_command(req),
                        item->target, item->verdict);
    for (h = in->tqh_first; h; h = h->next.tqe_next)
        evbuffer_add_printf(now->requests, "[%s]=[%s]\n", h->key, h->value);
    bool coming = item->coming;
    record_body(&item->body);
    intake_item_free(item);
    require(!asking.req);
    if (!coming) {
        answer_soon(c, req);
        return;
    }
    asked(c, req);
    conn_watch(c);
    if (!late)
        decide(c);
}

/* ---- the client ---- */

static void read_answers(int fd)
{
    char block[4096];
    ssize_t n;

    while ((n = recv(fd, block, sizeof block, MSG_DONTWAIT)) > 0)
        evbuffer_add(now->answers, block, (size_t)n);
    if (n == 0 || errno == ECONNRESET)
        now->closed = true;
}

static void check_bounds(void)
{
    struct conn *c, *next;

    HASH_ITER (hh, server.conns, c, next) {
        size_t most = intake_is_busy(&c->intake) ? INTAKE_WAIT_MAX : HEAD_TOTAL_MAX;
        require(!c->broken);
        require(intake_waiting(&c->intake) <= most + 16384);
        require(evbuffer_get_length(bufferevent_get_input(c->bev)) == 0);
    }
}

static void turn(int fd)
{
    struct conn *c, *next;

    event_base_loop(server.base, EVLOOP_NONBLOCK);
    HASH_ITER (hh, server.conns, c, next)
        if (c->intake.state == INTAKE_ASKED)
            decide(c);
    if (waiting) {
        struct evhttp_request *req = waiting;
        waiting = NULL;
        answer(req);
        event_base_loop(server.base, EVLOOP_NONBLOCK);
    }
    check_bounds();
    read_answers(fd);
}

/* Runs the loop until nothing changes. */
static void settle(int fd)
{
    size_t before;

    do {
        before = evbuffer_get_length(now->requests) + evbuffer_get_length(now->answers);
        for (int i = 0; i < TURNS; i++)
            turn(fd);
    } while (before != evbuffer_get_length(now->requests) + evbuffer_get_length(now->answers));
}

/* Sends in pieces of these sizes, in rotation; no sizes: all at once. */
static void converse(const uint8_t *data, size_t size, const uint8_t *sizes, size_t sizes_len,
                     struct record *ret)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret = (struct record){evbuffer_new(), evbuffer_new(), false};
    now = ret;
    require(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_len) == 0);
    turn(fd);
    for (size_t i = 0, at = 0; at < size && !ret->closed; i++) {
        size_t n = sizes_len ? 1 + sizes[i % sizes_len] + size / 256 : size;
        n = n < size - at ? n : size - at;
        ssize_t sent = send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += sent > 0 ? (size_t)sent : 0;
        turn(fd);
    }
    settle(fd);
    close(fd);
    for (int i = 0; i < TURNS || server.conns_len; i++)
        event_base_loop(server.base, EVLOOP_NONBLOCK);
    require(server.bodies.budget.used == 0);
    require(!asking.req);
}

static void compare(const char *what, struct evbuffer *a, struct evbuffer *b)
{
    size_t len = evbuffer_get_length(a);
    const char *one = len ? (const char *)evbuffer_pullup(a, -1) : "";
    const char *two = evbuffer_get_length(b) ? (const char *)evbuffer_pullup(b, -1) : "";

    if (len != evbuffer_get_length(b) || memcmp(one, two, len) != 0) {
        fprintf(stderr, "%s differ: at once\n%.*s\nin pieces\n%.*s\n", what, (int)len, one,
                (int)evbuffer_get_length(b), two);
        abort();
    }
}

static void free_record(struct record *r)
{
    evbuffer_free(r->requests);
    evbuffer_free(r->answers);
}

/* Valid requests must be served, else the comparisons below prove nothing. */
static void self_check(void)
{
    static const char text[] = "GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char served[] = "\n1 /v1/: 0\n[Host]=[x]\nbody of 0, in memory\n";
    struct record r;

    converse((const uint8_t *)text, sizeof text - 1, NULL, 0, &r);
    require(evbuffer_search(r.requests, served, sizeof served - 1, NULL).pos == 0);
    require(evbuffer_search(r.answers, "HTTP/1.1 200 OK\r\n", 17, NULL).pos == 0);
    require(!r.closed);
    free_record(&r);
}

static void begin(void)
{
    char program[] = "fuzz", *argv[] = {program, NULL};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    config_load(&cfg, R_FRONTEND, program, 1, argv);
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "fuzz-intake-%d",
                     (int)getpid());
    address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    server.bodies = (struct body_limits){.budget.max = BODIES, .upload_max = UPLOADS};
    cfg.max_spool = 1 << 30;
    spool_share(&cfg);
    spool_use(0, 100);
    server.base = event_base_new();
    require(fd >= 0 && bind(fd, (struct sockaddr *)&address, address_len) == 0 &&
            listen(fd, 16) == 0 && server.base && http_library(&server));
    evhttp_set_gencb(server.http, on_request, NULL);
    server.body_done = on_body;
    server.acceptor = acceptor_new(&server, fd);
    require(server.acceptor);
    place_open(&server, 1000);
    self_check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record whole, pieces;

    if (!server.base)
        begin();
    if (size < 2 || size < 2 + (size_t)(data[1] & 15))
        return 0;
    const uint8_t *sizes = data + 2;
    size_t sizes_len = data[1] & 15;
    const uint8_t *sent = sizes + sizes_len;
    late = false;
    refusing = data[0] & REFUSE;
    converse(sent, size - (size_t)(sent - data), NULL, 0, &whole);
    late = data[0] & LATE;
    converse(sent, size - (size_t)(sent - data), sizes, sizes_len, &pieces);
    compare("requests", whole.requests, pieces.requests);
    compare("answers", whole.answers, pieces.answers);
    require(whole.closed == pieces.closed);
    /* No error page of the library; our answers have no bodies. */
    require(evbuffer_search(whole.answers, "<HTML>", 6, NULL).pos < 0);
    free_record(&whole);
    free_record(&pieces);
    return 0;
}
