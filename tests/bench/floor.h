/* The bare loop: the server's database operations in the plain, obvious way, without HTTP and
 * without the server, as the floor below which no server of one request at a time gets. */
#ifndef TESTS_BENCH_FLOOR_H
#define TESTS_BENCH_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

/* FLOOR_OP(constant, name on the command line) */
#define FLOOR_OPS                                                                                  \
    FLOOR_OP(FLOOR_SUBMIT, "submit")                                                               \
    FLOOR_OP(FLOOR_CLAIM, "claim")                                                                 \
    FLOOR_OP(FLOOR_POST_RESULT, "post_result")                                                     \
    FLOOR_OP(FLOOR_READ_RESULT, "read_result")                                                     \
    FLOOR_OP(FLOOR_READ_JOB, "read_job")                                                           \
    FLOOR_OP(FLOOR_APPEND, "append")

enum floor_op {
#define FLOOR_OP(constant, name) constant,
    FLOOR_OPS
#undef FLOOR_OP
        FLOOR_OPS_LEN
};

#define FLOOR_QUEUE     "bench"
#define FLOOR_ID_SIZE   37 /* UUID text and its NUL */
#define FLOOR_TEXT_SIZE 200

struct floor_options {
    const char *concern; /* MongoDB: "majority", "1", "journal"; NULL: that of the URI */
    const char *sync;    /* SQLite: "full" or "normal" */
};

/* A back end. Its functions print what went wrong on stderr and return false or NULL then. */
struct floor_backend {
    const char *scheme; /* beginning of the URI */
    void *(*open)(const char *uri, const struct floor_options *options);
    /* Makes an empty store with its indexes, and jobs 0 to jobs - 1 that wait in FLOOR_QUEUE. */
    bool (*prepare)(void *store, uint64_t jobs);
    /* Does one operation; `job` is the job's number, one that is not there for a submit. */
    bool (*run)(void *store, enum floor_op op, uint64_t job);
    void (*drop)(void *store); /* removes what prepare() made */
    void (*close)(void *store);
};

extern const struct floor_backend floor_mongo, floor_sqlite, floor_file;

/* The id of job `number`: no order in them, as there is none in random UUIDs. */
void floor_job_id(uint64_t number, char ret[FLOOR_ID_SIZE]);

/* Milliseconds since 1970. */
int64_t floor_wall_ms(void);

/* FLOOR_TEXT_SIZE bytes of output, NUL-terminated. */
const char *floor_text(void);

#endif
