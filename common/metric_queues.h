/* Names of queues as values of a label: a bounded table that the processes of a role share.
 *
 * The first queues get a number each; all later ones share the number of "other", so clients cannot
 * make series without end. Numbers last as long as the role's master. */
#ifndef COMMON_METRIC_QUEUES_H
#define COMMON_METRIC_QUEUES_H

#include "common/text.h"

/* Makes the table for `max` names; before the children are forked. Without memory all queues are
 * "other". */
void metric_queues_share(unsigned max);

/* Largest number + 1; "other" has the last one. */
unsigned metric_queues_len(void);

/* The number of a queue, given to it at its first use. */
unsigned metric_queue(struct text name);

/* The name of a number, valid for ever; s NULL: no queue has it. */
struct text metric_queue_name(unsigned number);

#endif
