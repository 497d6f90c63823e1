/* Bounds and form of an answer. */
#ifndef WORKER_REQUEST_ANSWER_H
#define WORKER_REQUEST_ANSWER_H

#include "common/bus.h"

/* What the body of one answer holds at most: a message of the bus less its envelope. */
#define ANSWER_MAX (BUS_MESSAGE_MAX - MIB)

/* How jansson writes an answer. UTF-8 as it came: escapes would make it up to three times as long
 * as the document that was accepted (docsize.h counts in this form). */
#define ANSWER_JSON JSON_ENCODE_ANY

#endif
