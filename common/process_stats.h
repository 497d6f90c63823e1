/* The process_* metrics of a role, as Prometheus' client libraries name them. */
#ifndef COMMON_PROCESS_STATS_H
#define COMMON_PROCESS_STATS_H

#include "common/buf.h"

/* Appends them for the parent of this process, the role's master, and its children: CPU time (with
 * that of children that have ended) and memory are sums; open and most file descriptors are those
 * of the process that has the most open, since the limit holds for each. What /proc does not tell
 * is left out. */
enum err process_stats_print(struct buf *out) MUST_CHECK;

#endif
