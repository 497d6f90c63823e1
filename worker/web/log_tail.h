/* The ends of a job's logs, as text that a page can show. */
#ifndef WORKER_WEB_LOG_TAIL_H
#define WORKER_WEB_LOG_TAIL_H

#include "worker/request/call.h"

/* The end of the log of a phase. */
struct log_tail {
    struct buf text; /* owned */
    bool is_there;   /* it has a log, maybe an empty one */
    bool cut;        /* there is more before the text */
};

/* Reads the last max[PHASE] bytes of the logs of a type, in whole lines; 0: nothing of that phase.
 * `result`: of the job, whose texts count where a phase has no fragments. Call log_tails_free() in
 * any case. */
enum err log_tails_read(struct call *c, struct text job_id, enum output_type type,
                        const json_t *result, const size_t max[PHASE_COUNT],
                        struct log_tail tails[PHASE_COUNT]) MUST_CHECK;
void log_tails_free(struct log_tail tails[PHASE_COUNT]);

/* Makes a log readable as plain text, in place: without escape sequences and control characters. A
 * carriage return inside a line drops what stands before it, as terminals do. Returns the length.
 */
size_t log_plain(char *s, size_t len);

#endif
