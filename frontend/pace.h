/* The pace of clients: how long a connection may stand in a stage, and how fast bodies must come
 * and answers be taken.
 *
 * One tick a second looks at what is due. Idle connections and those with a part of a head stand in
 * lists ordered by age, of which only the front is looked at; the others are all looked at. Time is
 * counted in ticks of which none is longer than two seconds: after a stop of this process no client
 * pays for it. */
#ifndef FRONTEND_PACE_H
#define FRONTEND_PACE_H

#include <event2/buffer.h>
#include <stdint.h>

struct conn;
struct server;

enum stage {
    STAGE_NEW,     /* not set up: in no list */
    STAGE_OPENING, /* accepted; its PROXY header or TLS handshake is under way */
    STAGE_IDLE,    /* nothing of a request has come */
    STAGE_HEAD,    /* a part of a head has come */
    STAGE_BODY,    /* a body comes, or is dropped */
    STAGE_SERVED,  /* a request is in hand, and nothing is left to be taken */
    STAGE_ANSWER   /* a part of an answer is not taken yet */
};

/* Lists of connections, by stages that have the same rules. */
enum pace_list { PACE_IDLE, PACE_HEAD, PACE_MOVING, PACE_LISTS };

/* The part of a connection. */
struct pace {
    enum stage stage;
    int64_t since;    /* s, of struct paces */
    int64_t credit;   /* bytes that it may lag behind */
    uint64_t came;    /* bytes, since the last tick */
    uint64_t written; /* bytes that were handed to the kernel */
    uint64_t taken;   /* of these, by the client, as of the last tick */
    struct conn *prev, *next;
};

/* The part of the server. */
struct paces {
    struct conn *lists[PACE_LISTS]; /* those that stand longest first */
    int64_t now;                    /* s */
    int64_t ticked;                 /* ms: the last tick */
};

/* Finds out in which stage a connection is. Call it when that may have changed. */
void pace_look(struct conn *c);

/* The connection is about to be freed. */
void pace_leave(struct conn *c);

/* Each second: closes the connections that are due. */
void pace_tick(struct server *s);

/* The connection that has stood longest in a list; NULL: none. */
struct conn *pace_oldest(struct server *s, enum pace_list list);

/* An evbuffer callback on the connection's output. */
void pace_on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *conn);

#endif
