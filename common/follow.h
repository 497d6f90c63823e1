/* The stream of a job's events: what a frontend and a worker tell each other about it. The client
 * sees server-sent events, whose ids are places. */
#ifndef COMMON_FOLLOW_H
#define COMMON_FOLLOW_H

#include "common/envelope.h"

#include <stdbool.h>
#include <stdint.h>

#define FOLLOW_LOGS 2 /* output, serial: as enum output_type */

/* A place in a log: the number of the next fragment, and how many bytes of it were given. */
struct follow_log {
    int64_t number, skip;
};

/* A place in the stream. All zeros: its beginning. */
struct follow_at {
    struct follow_log logs[FOLLOW_LOGS];
    int64_t history; /* changes of state that were told */
};

/* As text, OUTPUT.SERIAL.HISTORY, where a log is NUMBER or NUMBER+SKIP. False: not such a text. */
#define FOLLOW_AT_SIZE 128
void follow_at_print(const struct follow_at *at, char out[FOLLOW_AT_SIZE]);
bool follow_at_parse(struct text t, struct follow_at *ret);

/* Whether place a is before b; of the two logs apart, the earlier place of each. */
bool follow_log_before(const struct follow_log *a, const struct follow_log *b);
void follow_at_earliest(struct follow_at *at, const struct follow_at *other);

/* Parameters of OP_FOLLOW_LOOK. */
#define FOLLOW_JOB  "job"
#define FOLLOW_AT   "at"
#define FOLLOW_SEEN "seen" /* the worker's note from the look before; empty: send the state */

/* Headers of its reply: that note, less than FOLLOW_SEEN_SIZE bytes; there is more to read from
 * the last place on; nothing comes any more. The last two have any value. */
#define FOLLOW_NOTE      "Follow-Seen"
#define FOLLOW_MORE      "Follow-More"
#define FOLLOW_OVER      "Follow-Over"
#define FOLLOW_SEEN_SIZE 80

/* Bytes of the texts in one reply, as JSON has them. */
#define FOLLOW_PART ((size_t)256 * 1024)

enum follow_kind { FOLLOW_OUTPUT, FOLLOW_SERIAL, FOLLOW_STATE, FOLLOW_END, FOLLOW_KINDS };

/* An event of the reply's body. */
struct follow_event {
    struct follow_at at; /* behind it */
    enum follow_kind kind;
    uint64_t state;   /* of FOLLOW_STATE: tells states apart; else 0 */
    struct text text; /* its lines "event:" and "data:", and the empty one */
};

/* The line before an event's text in the body. */
#define FOLLOW_LINE_SIZE (FOLLOW_AT_SIZE + 32)
int follow_line_print(const struct follow_event *event, char out[FOLLOW_LINE_SIZE]);

/* Takes an event from the front of a body; false: it is empty, or no event follows. */
bool follow_event_take(struct text *body, struct follow_event *ret);

#endif
