/* The load client's connections: what bench-load does, and what came of it. */
#ifndef TESTS_BENCH_LOAD_RUN_H
#define TESTS_BENCH_LOAD_RUN_H

#include "tests/bench/hist.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LOAD_CONNECTIONS_MAX 1024
#define LOAD_ERRORS_MAX      100 /* then it gives up */
#define LOAD_ID_SIZE         64

struct load {
    /* what to do */
    struct sockaddr_in address;
    unsigned connections;
    double seconds, warm_up;
    uint64_t count;       /* requests at most, without warm-up; 0: as many as `seconds` allow */
    int expect;           /* status; any other is an error */
    char *before, *after; /* the request's text, before and after the id */
    char *stamp;          /* in `after`: takes the time of sending; NULL: none */
    char (*ids)[LOAD_ID_SIZE];
    size_t ids_len;
    FILE *save; /* takes the job ids of the replies, a line each; may be NULL */

    /* what came of it */
    struct hist hist;
    double measured_s;
    uint64_t answered; /* those of the warm-up and of the end too */
    uint64_t errors;
    char first_error[200];
};

/* Runs it; ends the program with a message when the server cannot be reached. */
void load_run(struct load *l);

#endif
