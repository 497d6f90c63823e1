#include "frontend/piece.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/random.h"
#include "frontend/subject.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

enum {
    UNDER_WAY_MAX = 6, /* limit of a process; each takes up to FILE_PIECE bytes */
    AGAIN_MS = 250
};

static void start(struct piece *p);

/* Starts the next waiting piece. */
static void finish(struct piece *p, enum err e, const struct reply *reply)
{
    struct server *s = p->server;

    event_free(p->again);
    p->again = NULL;
    p->give_up = 0;
    p->done(p, e, reply); /* may send another piece, which waits behind the others */
    s->pieces_under_way--;
    struct piece *next = s->pieces_waiting;
    if (next) {
        DL_DELETE(s->pieces_waiting, next);
        s->pieces_under_way++;
        start(next);
    }
}

static void on_answer(struct link_request *r, enum err e, const struct reply *reply)
{
    const struct timeval pause = {.tv_usec = AGAIN_MS * 1000};
    struct piece *p = (struct piece *)r;
    bool passing =
        e ? err_status(e) == 503 || e == ERR_TIMEOUT : reply->status == 503 || reply->status == 504;

    if (passing && clock_mono_ms() < p->give_up)
        event_add(p->again, &pause);
    else
        finish(p, e, reply);
}

/* Packs into `payload`; false (logged): the spooled file cannot be read. */
static bool pack(struct piece *p, const char id[REQUEST_ID_SIZE], zmq_msg_t *payload)
{
    static struct request r; /* large; all but what is set stays zero */
    char at[24], size[24];
    msgpack_sbuffer head;
    size_t len = p->body ? (size_t)p->size : 0;

    snprintf(at, sizeof at, "%" PRId64, p->at);
    snprintf(size, sizeof size, "%" PRId64, p->size);
    memcpy(r.id, id, REQUEST_ID_SIZE);
    r.op = p->op;
    r.received_us = clock_wall_us();
    r.query[0].name = (struct text){FILE_PARAM_INFO, strlen(FILE_PARAM_INFO)};
    r.query[0].value = (struct text){p->info, strlen(p->info)};
    r.query[1].name = (struct text){FILE_PARAM_AT, strlen(FILE_PARAM_AT)};
    r.query[1].value = (struct text){at, strlen(at)};
    r.query[2].name = (struct text){FILE_PARAM_SIZE, strlen(FILE_PARAM_SIZE)};
    r.query[2].value = (struct text){size, strlen(size)};
    r.query_len = 3;
    p->link.subject = subject_of(&r);
    msgpack_sbuffer_init(&head);
    mem_check(!request_pack_head(&r, len, &head) &&
              zmq_msg_init_size(payload, head.size + len) == 0);
    char *to = zmq_msg_data(payload);
    memcpy(to, head.data, head.size);
    to += head.size;
    msgpack_sbuffer_destroy(&head);
    if (len && body_read(p->body, p->from, to, len) != (ssize_t)len) {
        zmq_msg_close(payload);
        return false;
    }
    return true;
}

static void start(struct piece *p)
{
    char id[REQUEST_ID_SIZE];

    if (!p->give_up)
        p->give_up = clock_mono_ms() + p->server->cfg->request_timeout;
    p->link = (struct link_request){.service = route_service(route_of(p->op)),
                                    .origin = p->origin,
                                    .timeout_ms = p->server->cfg->request_timeout,
                                    .done = on_answer};
    random_uuid(p->link.id);
    uuid_print(p->link.id, id);
    if (pack(p, id, &p->link.payload))
        link_send(p->server->link, &p->link);
    else
        event_active(p->again, EV_READ, 0); /* call `done` later, never from within */
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    if (what & EV_READ)
        finish(arg, ERR_INTERNAL, NULL);
    else
        start(arg);
}

void piece_send(struct piece *p)
{
    struct server *s = p->server;

    p->give_up = 0;
    p->again = event_new(s->base, -1, 0, on_again, p);
    mem_check(p->again);
    if (s->pieces_under_way >= UNDER_WAY_MAX) {
        DL_APPEND(s->pieces_waiting, p);
        return;
    }
    s->pieces_under_way++;
    start(p);
}
