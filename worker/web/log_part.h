/* A log read part by part: each part is a request of its own, so that nobody holds a whole log. */
#ifndef WORKER_WEB_LOG_PART_H
#define WORKER_WEB_LOG_PART_H

#include "common/file.h"
#include "worker/request/call.h"

/* Where a log is kept: as fragments; in fields of the result or as live output, as older agents
 * post it. Their entries count as fragments with the numbers of the phases, or from 0 on. */
enum log_source { LOG_FRAGMENTS, LOG_FIELDS, LOG_LIVE, LOG_SOURCES };

/* FORM_LINES: a line of JSON for each fragment; FORM_SIZES: the same, with its bytes instead of its
 * text. */
enum log_form { FORM_TEXT, FORM_LINES, FORM_SIZES, FORMS };

/* A log, and the place in it at which a reader goes on. */
struct log_place {
    struct text job_id;
    enum log_source source;
    enum output_type type;
    enum log_form form;
    int phase;      /* -1: all */
    int64_t until;  /* the highest number that is wanted */
    int64_t number; /* of the fragment that comes next, at least 0 */
    int64_t given;  /* fragments of this number that were given before: rarely are there several */
    int64_t skip;   /* bytes of the next one that were given before */
};

/* As text, which fits; false: not such a text. The job's id points into it. */
void log_place_print(const struct log_place *at, char out[FILE_INFO_SIZE]);
bool log_place_parse(struct text t, struct log_place *ret);

/* Appends the next part, of up to `max` bytes (at least LOG_PART_MIN), and moves the place behind
 * it. *ret_more false: it is the last one. ERR_NOT_FOUND: there is no such job. */
#define LOG_PART_MIN ((size_t)1024)
enum err log_part_read(struct call *c, struct log_place *at, size_t max, struct buf *ret,
                       bool *ret_more) MUST_CHECK;

/* Gives the fragments of the place's source, from its number on, without their texts where `sizes`
 * is set. */
enum err log_pieces(struct call *c, const struct log_place *at, bool sizes, log_take_fn *take,
                    void *arg) MUST_CHECK;

#endif
