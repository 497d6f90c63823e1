/* How large a document is in each of the forms that it takes: what could not be stored, or not be
 * answered later, is refused when it is posted. Both stores have the same limits. */
#ifndef WORKER_REQUEST_DOC_LIMITS_H
#define WORKER_REQUEST_DOC_LIMITS_H

#include "worker/request/call.h"

/* Of max-document, what is kept free in a job's document: what the server adds to it (history of
 * states, claim, lease), so that a state can always be stored; and the least room for a result. */
#define DOCUMENT_ROOM ((size_t)64 * 1024)
#define RESULT_ROOM   ((size_t)192 * 1024)

/* Bytes of a value. */
struct doc_size {
    size_t json; /* in an answer */
    size_t bson; /* in a document of MongoDB; an object or array with its head */
};

/* Measures a value; its depth is that of a body, JSON_DEPTH_LIMIT at most. */
struct doc_size doc_size_of(const json_t *value);

/* Whether a value that was made of this call's body has at most `max` bytes in every form; else the
 * call is answered with 413. A small body is not measured. */
bool doc_fits(struct call *c, const json_t *value, size_t max);

/* The most that the data of a job may have. */
size_t doc_job_max(const struct config *cfg);

#endif
