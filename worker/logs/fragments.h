/* The fragments of a log, joined by phase into JSON text of a bounded size. */
#ifndef WORKER_LOGS_FRAGMENTS_H
#define WORKER_LOGS_FRAGMENTS_H

#include "worker/logs/text.h"
#include "worker/store/logs.h"

/* Sizes and numbers at some moment. */
struct log_mark {
    int64_t number; /* of the fragment that came next */
    size_t len[PHASE_COUNT];
    int64_t last[PHASE_COUNT];
};

struct log_join {
    struct buf text[PHASE_COUNT]; /* insides of JSON strings */
    int64_t last[PHASE_COUNT];    /* number of the last fragment in it, -1: none */
    bool is_there[PHASE_COUNT];   /* there was a fragment */
    size_t room;                  /* bytes that may still come */
    bool cut;                     /* there was more than fits */
    int64_t next;                 /* then: the number at which to go on */
    bool any;                     /* pieces were taken */
    struct log_mark mark;         /* before the first fragment of the last number */
};

/* `room`: bytes of JSON text for all phases together. */
void log_join_init(struct log_join *j, size_t room);
void log_join_free(struct log_join *j);

/* A log_take_fn; `arg` is a struct log_join. Pieces come by number. What does not fit is left out
 * from a number on, so that a reader can go on at it; only of the very first fragment the front is
 * taken. */
bool log_join_take(void *arg, const struct log_piece *piece);

#endif
