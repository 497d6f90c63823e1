/* The load client's connections: what bench-load does, and what came of it. */
#ifndef TESTS_BENCH_LOAD_RUN_H
#define TESTS_BENCH_LOAD_RUN_H

#include "tests/bench/hist.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LOAD_CONNECTIONS_MAX 10000
#define LOAD_ERRORS_MAX      100 /* then it gives up */
#define LOAD_ID_SIZE         64
#define LOAD_STEPS_MAX       4

/* One request of a round: its text, before and after the id where it has one; line_end ends the
 * request line. */
struct load_step {
    char *before, *line_end, *after;
    bool has_id;
    char *stamp; /* in `after`: takes the time of sending; NULL: none */
};

struct load {
    /* what to do */
    struct sockaddr_in address;
    unsigned connections;
    double seconds, warm_up;
    uint64_t count; /* rounds at most, without warm-up; 0: as many as `seconds` allow */
    double rate;    /* rounds begun a second, by the clock; 0: each connection begins its next at
                       the end of the one before */
    bool agents;    /* connection N is the agent bench-N; the first step is a claim, a 204 repeats
                       it; latencies are from the stamp in the job to its arrival */
    int expect;     /* status; any other is an error */
    /* A round: each is sent when the one before is answered. The id is the next of `ids` in the
     * first step, the last job id that the connection was answered in the others. */
    struct load_step steps[LOAD_STEPS_MAX];
    size_t steps_len;
    char (*ids)[LOAD_ID_SIZE];
    size_t ids_len;
    FILE *save; /* takes the job ids of the replies, a line each; may be NULL */

    /* what came of it */
    struct hist hist;
    double measured_s;
    uint64_t answered; /* rounds, those of the warm-up and of the end too */
    uint64_t errors;
    char first_error[200];
};

/* Runs it; ends the program with a message when the server cannot be reached. */
void load_run(struct load *l);

#endif
