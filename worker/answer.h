/* Bounds of an answer. */
#ifndef WORKER_ANSWER_H
#define WORKER_ANSWER_H

#include "common/bus.h"

/* What the body of one answer holds at most: a message of the bus less its envelope. */
#define ANSWER_MAX (BUS_MESSAGE_MAX - MIB)

#endif
