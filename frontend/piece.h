/* The frontend's own requests for one piece of a file. A process sends a limited number at once.
 * Without a worker or store they are tried again for a while, so a piece may be read or written
 * more than once. */
#ifndef FRONTEND_PIECE_H
#define FRONTEND_PIECE_H

#include "common/file.h"
#include "frontend/body.h"
#include "frontend/server.h"

struct piece;

/* Called once: ERR_OK with a reply, valid during the call, or the error. */
typedef void piece_done_fn(struct piece *p, enum err e, const struct reply *reply);

/* Part of the caller's struct; must live until `done`. */
struct piece {
    struct link_request link; /* first member */
    struct server *server;
    unsigned op;             /* enum op */
    uint64_t origin;         /* whose it is (subject.h) */
    const char *id;          /* of the request that it belongs to, for the log */
    const char *info;        /* of the file; as the next two, borrowed until `done` */
    int64_t at, size;        /* the part of the file; size 0: none */
    const struct body *body; /* whose part from `from` on is sent along; NULL: none */
    uint64_t from;
    piece_done_fn *done;

    int64_t give_up; /* ms, monotonic; 0: not sent yet */
    struct event *again;
    struct piece *prev, *next; /* waiting for its turn */
};

/* Sends the piece. The caller sets the fields up to `done`, which is called later, never from
 * within. */
void piece_send(struct piece *p);

#endif
