/* Logs of jobs: fragments of newer agents, and the live output of older ones read as fragments. The
 * job need not exist. Fragments with a negative number are kept and never read. */
#ifndef WORKER_STORE_LOGS_H
#define WORKER_STORE_LOGS_H

#include "common/envelope.h"
#include "common/err.h"
#include "worker/jobs/phases.h"
#include "worker/jobs/states.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum output_type { OUTPUT_OUTPUT, OUTPUT_SERIAL, OUTPUT_TYPES };

/* "output", "serial": in names of fields and in stored documents. */
extern const char *const output_type_names[OUTPUT_TYPES];

/* Bytes of a fragment: two fit into one document of the store. */
#define LOG_FRAGMENT_MAX ((size_t)8 * MIB)

#define LOG_KEY_SIZE 12

struct log_fragment {
    struct text job_id;
    enum output_type type;
    int phase;
    int64_t number;
    int64_t at_ms;                   /* the agent's clock */
    struct text text;                /* valid UTF-8, may hold NUL; up to LOG_FRAGMENT_MAX */
    unsigned char key[LOG_KEY_SIZE]; /* digest of all the above, see log_key() */
    enum err err;                    /* out */
};

/* Count and last number of each type. Both change with every new fragment. */
struct log_extent {
    int64_t count;
    int64_t last; /* the highest number, -1: none */
};

struct log_look {
    struct text job_id;
    struct log_extent types[OUTPUT_TYPES];
    enum err err; /* out */
};

/* A fragment, or an entry of live output. The text is valid during the call only. */
struct log_piece {
    int phase;
    int64_t number;
    int64_t at_ms;
    struct text text; /* maybe not UTF-8: other programs write the database too */
};

/* False: send no more. */
typedef bool log_take_fn(void *arg, const struct log_piece *piece);

/* For the back ends: live output while it is given as pieces. Begins as {.take, .arg}. */
struct live_output {
    log_take_fn *take;
    void *arg;
    struct phase_change changes[HISTORY_MAX];
    size_t changes_len;
    int64_t number; /* of the next piece */
};

/* Notes a change of the job's state, in their order, before any piece; only the first HISTORY_MAX
 * are noted. */
void live_output_change(struct live_output *l, struct text state, int64_t at_ms);

/* Gives an entry that came at this time; false: enough. */
bool live_output_give(struct live_output *l, struct text text, int64_t at_ms);

/* Adds a text to those of struct live_take. */
void live_entry_add(json_t *entries, struct text text);

struct log_read {
    struct text job_id;
    enum output_type type;
    int phase;        /* -1: all */
    int64_t start;    /* the lowest number, at least 0 */
    int64_t since_ms; /* the earliest at_ms; INT64_MIN: any */
    int batch;        /* for a reader of few: how many to fetch at first, then more; 0: many */
    bool backwards;   /* of logs_sizes only: from the last fragment down to `start` */
    log_take_fn *take;
    void *arg;
};

/* Numbers of one call. */
#define LOG_NUMBERS_MAX 100000

struct log_number {
    int phase;
    int64_t number;
};

struct log_numbers {
    struct text job_id;
    enum output_type type;
    int64_t start;
    struct log_number *numbers; /* out: ascending by number; owned by the caller */
    size_t len;                 /* out: LOG_NUMBERS_MAX at most */
};

#endif
