/* Latency histogram. */
#include "tests/bench/hist.h"

#include <time.h>

/* Up to HIST_SUB each value has its own bucket; then HIST_SUB buckets for each doubling. */
static unsigned bucket_of(uint64_t us)
{
    if (us < HIST_SUB)
        return (unsigned)us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - HIST_SUB_BITS;
    uint64_t bucket = (uint64_t)(shift + 1) * HIST_SUB + ((us >> shift) - HIST_SUB);

    return bucket < HIST_BUCKETS ? (unsigned)bucket : HIST_BUCKETS - 1;
}

/* Middle of the bucket's values. */
static uint64_t value_of(unsigned bucket)
{
    if (bucket < HIST_SUB)
        return bucket;
    unsigned shift = bucket / HIST_SUB - 1;

    return ((uint64_t)(bucket % HIST_SUB + HIST_SUB) << shift) + ((1ULL << shift) >> 1);
}

void hist_add(struct hist *h, uint64_t us)
{
    h->count++;
    h->sum_us += us;
    if (us > h->max_us)
        h->max_us = us;
    h->buckets[bucket_of(us)]++;
}

void hist_merge(struct hist *to, const struct hist *from)
{
    to->count += from->count;
    to->sum_us += from->sum_us;
    if (from->max_us > to->max_us)
        to->max_us = from->max_us;
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
    uint64_t rank = (uint64_t)((double)h->count * percent / 100.0), seen = 0;

    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > rank || (seen && seen == h->count))
            return value_of(i) < h->max_us ? value_of(i) : h->max_us;
    }
    return 0;
}

int64_t hist_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
