/* A stream of a job's events: what is sent on it, and its end (follow.h has the rest). */
#ifndef FRONTEND_STREAM_H
#define FRONTEND_STREAM_H

#include "common/follow.h"
#include "frontend/exchange.h"

#define JOB_MAX 64 /* bytes of a job's id; no job has a longer one */

/* A job that is watched. */
struct watch {
    struct link_request link; /* the look of all that are level; first member */
    struct streams *all;
    char job[JOB_MAX + 1];
    bool asked;                  /* the look is under way */
    bool resend;                 /* the next look gets the state, whatever the note says */
    int64_t due;                 /* ms: the next one */
    int64_t away;                /* ms: of the first look without an answer; 0: none */
    char seen[FOLLOW_SEEN_SIZE]; /* the worker's note, for those that are level */
    struct stream *streams;
    UT_hash_handle hh;
};

/* States: opening (a worker is asked whether the client may watch) -> behind (it asks for itself,
 * each time once the client has taken the last part) -> level (it gets what the job's look brings),
 * and behind again when it has not taken a part by the next one, or there was more than one part.
 * It ends by `end`, by the client, or by stream_cut(). */
struct stream {
    struct exchange x;        /* first member */
    struct link_request look; /* its own */
    struct watch *watch;      /* NULL: opening, or over */
    zmq_msg_t payload;        /* of the request, to ask again whether the client may watch */
    bool kept;                /* payload is initialised */
    bool counted;             /* in streams.len */
    bool level;
    bool awaits;        /* the look of its job that is under way is for it, too */
    bool looks, checks; /* its look, its request is under way */
    bool unsent;        /* the client has not taken the last part */
    bool ends;          /* it is over; its end is sent once the client has taken the last part */
    struct follow_at at;
    uint64_t state;              /* that it was sent last */
    char seen[FOLLOW_SEEN_SIZE]; /* as in struct watch, of its own looks */
    char job[JOB_MAX + 1];
    int64_t said, check, again; /* ms: when something was sent; when to check, to look again */
    int64_t allowed;            /* ms: when a worker last said that the client may watch */
    struct stream *prev, *next;
};

struct streams {
    struct server *server;
    struct watch *watches; /* by job */
    struct event *tick;
    size_t len;
    size_t own_looks; /* under way */
    bool ticking, closed;
    void (*taken)(struct stream *f); /* one that is behind has taken all that it was sent */
};

/* Frees a job's watch that nobody needs. */
void watch_free_unused(struct watch *w);

/* Frees a stream that is over, once none of its requests is under way and its end is sent. */
void stream_release(struct stream *f);

/* Ends the answer behind what was sent, once the client has taken that. Frees the stream, perhaps
 * later, and its watch, unless a look is under way. */
void stream_finish(struct stream *f);

/* The same, logged and counted: before the job's end. */
void stream_cut(struct stream *f, const char *why);

/* Of struct exchange: the client is gone. */
void stream_gone(struct exchange *x);

void stream_send(struct stream *f, const char *text);

/* Sends what is new to the client of a worker's reply. False: it has not taken the last part, or
 * there is no memory: it gets this later. */
bool stream_give(struct stream *f, struct text body);

#endif
