/* Bounds of names and texts, so that lists of them stay readable and what is stored can be
 * answered. A read with a name beyond them finds nothing, as with any unknown name. */
#ifndef WORKER_VALIDATION_NAMES_H
#define WORKER_VALIDATION_NAMES_H

#include "common/envelope.h"

#include <stdbool.h>

#define NAME_BYTES_MAX   256                 /* of a queue, agent, client, tag, state or image */
#define TEXT_BYTES_MAX   ((size_t)64 * 1024) /* of a description, a field or log line of an agent */
#define URL_BYTES_MAX    8192                /* of a webhook */
#define REASON_BYTES_MAX 1024                /* why a queue is paused, or an agent out of service */
#define NAMES_MAX        1000 /* queues of an agent, or in one post; images of a queue */
#define LISTED_MAX       100  /* tags of a job, agents that it excludes */

/* What is wrong with a name that is to be stored, static storage; NULL: nothing. */
const char *name_fault(struct text name);

/* For schemas: whether a text holds no control character (fieldtable.h, kind.matches). */
bool is_printable(const char *s, size_t len);
#define CONTROL_FAULT "Must not hold control characters."

#endif
