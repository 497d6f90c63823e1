/* The intake of a connection: reads the framing of its requests before the HTTP library does.
 *
 * libevent 2.1 resets a connection whose body is too large, takes lines that end in a bare LF, and
 * answers malformed heads with HTML pages. So heads are checked and bodies are collected here,
 * within the limit of their route. The library gets one head at a time, in canonical form
 * (head_write): without a body, and with a number in place of its target. Target, body and verdict
 * are in the item of this number.
 *
 * Bytes behind a request that is served are parsed only after its answer, so a connection has at
 * most one item, one body and one temporary file, however much a client pipelines.
 *
 * A body that is large, an upload, or waits for "100 Continue" is not read at first: its head goes
 * to the library ahead of it (item->coming). Who serves the request then calls intake_let() or
 * intake_refuse(). */
#ifndef FRONTEND_INTAKE_H
#define FRONTEND_INTAKE_H

#include "frontend/body.h"
#include "frontend/chunked.h"
#include "frontend/head.h"

/* Bodies that are refused are read to their end up to this size, since many clients read the answer
 * only then; beyond it the answer comes at once and the connection is closed. */
#define INTAKE_DISCARD_MAX ((uint64_t)64 * 1024 * 1024)

/* While a request is served, the caller stops to read when so many bytes wait behind it. */
#define INTAKE_WAIT_MAX ((size_t)16 * 1024)

struct intake_item {
    char number[24]; /* "/1" for the first on its connection: what the library has as its target */
    int verdict;     /* 0: in order; else the status to answer: 400, 405, 413, 431, 503, 505, 507 */
    bool coming;     /* the body was not read: intake_let() or intake_refuse() is due */
    bool ask;        /* a worker is to decide about it */
    struct body body;
    const char *request_id; /* the client's, for an answer to a head that is not passed on */
    size_t target_len;
    char target[]; /* as sent, with a NUL behind it; "" where the head had none; then request_id */
};

enum intake_state {
    INTAKE_HEAD, /* reads a head; then any other state */
    INTAKE_BODY, /* reads or drops `left` bytes of a body; then BUSY, LAST, or HEAD if the body was
                      refused and the answer is written */
    INTAKE_CHUNKS, /* the same for a chunked body; ASKED when it becomes large */
    INTAKE_ASKED,  /* the library has the head, the body is not read: waits for intake_let() (then
                      BODY or CHUNKS) or intake_refuse() (the same, dropping, or LAST) */
    INTAKE_BUSY,   /* the library has a request: reads nothing until intake_answered(), then HEAD */
    INTAKE_LAST,   /* as BUSY, but the connection ends with the answer: drops what comes */
};

struct intake {
    struct body_limits *limits;
    struct tenant *tenant; /* whose budget its bodies count in */
    enum intake_state state;
    struct evbuffer *raw;      /* what came and is not decided yet */
    struct budget_share waits; /* its memory beyond RAW_FREE */
    struct {                   /* of the head at the front of raw */
        size_t scanned;        /* bytes that need not be looked at again */
        size_t line;           /* where the line begins that is not complete */
        unsigned blank;        /* empty lines before it */
    } scan;
    /* The request whose body is being read. */
    struct evbuffer *head; /* as the library will get it */
    const char *method;    /* for a head that stands for a refused one */
    bool http_1_0, close;
    bool is_chunked, expects_continue, large_ok; /* large_ok: its route takes large bodies */
    bool ahead;                                  /* the library has its head */
    bool asked;                                  /* and a worker decides about the body */
    bool dropping, written;                      /* it was refused; the answer is through */
    int verdict;                                 /* not 0: the body is dropped */
    struct body body;
    struct chunked chunked;
    uint64_t limit;           /* the body must stay below it */
    uint64_t left;            /* INTAKE_BODY */
    uint64_t seen;            /* bytes of the body, collected or dropped */
    uint64_t drop_max;        /* a refused body is dropped up to here */
    bool complete;            /* out: a body that went behind its head is through, or given up */
    bool unread;              /* INTAKE_LAST: the client may still be sending */
    bool over;                /* out: close the connection once the answer is written */
    bool wants_continue;      /* out: the caller sends "100 Continue" and clears it */
    struct intake_item *item; /* of the request that is read, or that the library has; NULL: none,
                                 or taken */
    uint64_t numbers;         /* given out */
};

void intake_init(struct intake *in, struct body_limits *limits);
/* Whose connection it is, once that is known; joined by the caller, left by the intake. */
void intake_set_tenant(struct intake *in, struct tenant *t);
void intake_done(struct intake *in);

/* Takes the first n bytes of `from`. Follow with intake_advance. */
void intake_take(struct intake *in, struct evbuffer *from, size_t n);

/* Reads on in what was taken, up to the end of a request. True: `out` has got the head that the
 * library must read now. False: more bytes are needed, or the library has a head already. */
bool intake_advance(struct intake *in, struct evbuffer *out);

/* The body may come. Follow with intake_advance. */
void intake_let(struct intake *in);

/* The body is not wanted, and the request is answered now. What comes of it is dropped, up to
 * INTAKE_DISCARD_MAX bytes unless `all`. False: it is not waited for, the connection must end with
 * the answer. */
bool intake_refuse(struct intake *in, bool all);

/* The body that went behind its head, once it is complete; the caller owns it. Returns the verdict:
 * not 0, the status to answer. */
int intake_body(struct intake *in, struct body *ret);

/* The request is answered, and the library waits for the next. */
void intake_answered(struct intake *in);

/* Bytes that were taken and not read yet. */
size_t intake_waiting(const struct intake *in);

/* True while the library has a request. */
bool intake_is_busy(const struct intake *in);

/* True when the client may be sending a body that was refused. */
bool intake_unread(const struct intake *in);

/* True when nothing of a request has come, and none is served. */
bool intake_is_idle(const struct intake *in);

/* The item of the request that the library hands over, whose target it knows as `target`; the
 * caller owns it. NULL: the library and the intake have different requests in hand. */
struct intake_item *intake_claim(struct intake *in, const char *target);
void intake_item_free(struct intake_item *item); /* may be NULL */

#endif
