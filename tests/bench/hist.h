/* Latency histogram: microseconds in buckets at most 1/64 wide of their value, so that a percentile
 * read from it is exact to 1.6 %. Plain memory: it may lie in a mapping that processes share. */
#ifndef TESTS_BENCH_HIST_H
#define TESTS_BENCH_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 6
#define HIST_SUB      (1 << HIST_SUB_BITS)
#define HIST_BUCKETS  (HIST_SUB * 30) /* the last one begins at half an hour */

struct hist {
    uint64_t count, sum_us, max_us;
    uint64_t buckets[HIST_BUCKETS];
};

/* Adds one latency. */
void hist_add(struct hist *h, uint64_t us);

/* Adds all of `from` to `to`. */
void hist_merge(struct hist *to, const struct hist *from);

/* The latency in microseconds that `percent` of all do not exceed; 0 when there are none. */
uint64_t hist_percentile(const struct hist *h, double percent);

/* Monotonic clock, nanoseconds. */
int64_t hist_now_ns(void);

#endif
