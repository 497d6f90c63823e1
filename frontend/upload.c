#include "frontend/upload.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/op.h"
#include "frontend/multipart.h"
#include "frontend/piece.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 2,          /* pieces of one upload in flight */
    BLOCK = 1024 * 1024, /* bytes that are scanned in one turn of the loop */
};

struct upload;

struct upload_piece {
    struct piece piece; /* first member */
    struct upload *upload;
    bool busy;
};

/* Steps: scans the body (on_turn), asks the handler (on_decided), stores pieces (store), commits.
 */
struct upload {
    struct exchange x; /* first member */
    struct event *turn;
    struct multipart multipart;
    msgpack_sbuffer head; /* request to the handler, without the facts */
    char info[FILE_INFO_SIZE];
    int64_t next;  /* byte of the file at which the next piece begins */
    unsigned busy; /* pieces */
    enum err err;  /* why it cannot be stored */
    struct upload_piece pieces[WINDOW];
};

static void on_free(struct exchange *x)
{
    struct upload *u = (struct upload *)x;

    if (u->turn)
        event_free(u->turn);
    msgpack_sbuffer_destroy(&u->head);
}

/* ---- storing ---- */

/* Handles a wrong reply to one of our own requests. */
static enum err fault_of(const struct reply *reply)
{
    /* 404: the upload took too long and was removed. */
    return reply->status == 503 || reply->status == 504 || reply->status == 404 ? ERR_UNAVAILABLE
                                                                                : ERR_INTERNAL;
}

/* Leads the browser that sent a form back to the page of the job, with whose id the name of the
 * stored file begins. */
static void lead_back(struct upload *u)
{
    char url[FILE_NAME_SIZE + 32];
    struct file_info f = {.name = ""};
    struct reply reply = {.status = 303,
                          .headers = {{"Location", url}, {"Cache-Control", "no-store"}},
                          .headers_len = 2};
    bool known = file_info_parse((struct text){u->info, strlen(u->info)}, &f);

    snprintf(url, sizeof url, "/jobs/%.*s?done=attached", (int)strcspn(f.name, "."), f.name);
    exchange_end(&u->x, known ? ERR_OK : ERR_INTERNAL, &reply);
}

static void on_committed(struct piece *p, enum err e, const struct reply *reply)
{
    struct upload *u = ((struct upload_piece *)p)->upload;

    if (!e && reply->status != 200)
        e = fault_of(reply);
    if (!e && route_is_web(u->x.route))
        lead_back(u);
    else
        exchange_end(&u->x, e, reply);
}

static void send_piece(struct upload *u, struct upload_piece *p, enum op op, piece_done_fn *done)
{
    p->upload = u;
    p->piece.server = u->x.server;
    p->piece.op = op;
    p->piece.origin = u->x.link.origin;
    p->piece.info = u->info;
    p->piece.at = u->next;
    p->piece.body = op == OP_FILE_PUT ? &u->x.body : NULL;
    p->piece.from = u->multipart.start + (uint64_t)u->next;
    p->piece.done = done;
    piece_send(&p->piece);
}

/* Sends pieces up to the limit; finishes when all are stored. */
static void store(struct upload *u);

static void on_stored(struct piece *p, enum err e, const struct reply *reply)
{
    struct upload_piece *own = (struct upload_piece *)p;
    struct upload *u = own->upload;

    own->busy = false;
    u->busy--;
    if (!e && reply->status != 204)
        e = fault_of(reply);
    if (!u->err)
        u->err = e;
    store(u);
}

static void store(struct upload *u)
{
    int64_t length = (int64_t)u->multipart.len;

    for (size_t i = 0; !u->err && i < WINDOW && u->next < length; i++) {
        struct upload_piece *p = &u->pieces[i];
        if (p->busy)
            continue;
        p->busy = true;
        u->busy++;
        p->piece.size = length - u->next < FILE_PIECE ? length - u->next : FILE_PIECE;
        send_piece(u, p, OP_FILE_PUT, on_stored);
        u->next += p->piece.size;
    }
    if (u->busy)
        return;
    if (u->err) {
        exchange_end(&u->x, u->err, NULL);
        return;
    }
    u->pieces[0].piece.size = 0;
    send_piece(u, &u->pieces[0], OP_FILE_COMMIT, on_committed);
}

/* ---- asking ---- */

/* The handler's decision: an answer, or to go on. */
static void on_decided(struct link_request *r, enum err e, const struct reply *reply)
{
    struct upload *u = (struct upload *)r;

    if (e || reply->status != FILE_GO_ON) {
        exchange_end(&u->x, e, reply);
        return;
    }
    if (reply->body.len >= sizeof u->info) {
        log_error("refusing an upload: the worker's info of the file is too long; run the same "
                  "release in all processes");
        exchange_end(&u->x, ERR_INTERNAL, NULL);
        return;
    }
    memcpy(u->info, reply->body.s, reply->body.len);
    u->info[reply->body.len] = '\0';
    store(u);
}

/* The facts about the body for the handler. */
static int64_t facts_of(const struct multipart *m)
{
    if (m->state == MULTIPART_LARGE)
        return -413;
    return m->state == MULTIPART_DONE && m->found ? (int64_t)m->len : -400;
}

static void ask(struct upload *u)
{
    char facts[FILE_FACTS_SIZE];

    file_facts_print(facts_of(&u->multipart), facts);
    msgpack_sbuffer_write(&u->head, facts, sizeof facts);
    message_new(&u->x.link.payload, u->head.size);
    memcpy(zmq_msg_data(&u->x.link.payload), u->head.data, u->head.size);
    link_send(u->x.server->link, &u->x.link);
}

/* ---- scanning ---- */

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    const struct timeval now = {0};
    static char block[BLOCK];
    struct upload *u = arg;
    ssize_t n = body_read(&u->x.body, u->multipart.offset, block, BLOCK);

    (void)fd;
    (void)what;
    if (n < 0)
        exchange_end(&u->x, ERR_INTERNAL, NULL);
    else if (multipart_scan(&u->multipart, block, (size_t)n,
                            u->multipart.offset + (uint64_t)n >= u->x.body.len))
        event_add(u->turn, &now); /* let others run */
    else
        ask(u);
}

static bool on_begin(struct exchange *x, const struct request *request)
{
    const struct timeval now = {0};
    struct upload *u = (struct upload *)x;

    msgpack_sbuffer_init(&u->head);
    u->turn = event_new(x->server->base, -1, 0, on_turn, u);
    mem_check(u->turn && !request_pack_head(request, FILE_FACTS_SIZE, &u->head));
    if (multipart_init(&u->multipart, request->headers[HDR_CONTENT_TYPE])) {
        event_add(u->turn, &now);
    } else {
        u->multipart.state = MULTIPART_BROKEN;
        ask(u);
    }
    return false;
}

const struct exchange_kind upload_kind = {
    .size = sizeof(struct upload), .begin = on_begin, .reply = on_decided, .free = on_free};
