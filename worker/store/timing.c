/* How long the store's operations take, and which fail. */
#include "common/beat.h"
#include "worker/store/store.h"

enum err store_measured(enum store_op op, int64_t began_us, enum err e)
{
    beat_turn(); /* a bundle of many operations may take longer than --watchdog */
    if (began_us) {
        metric_time(M_STORE_SECONDS, op, clock_mono_us() - began_us);
        if (e == ERR_UNAVAILABLE || e == ERR_INTERNAL)
            metric_add(M_STORE_ERRORS, op, 1);
    }
    return e;
}

enum err err_of_all(const enum err *first, size_t stride, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (*(const enum err *)((const char *)first + i * stride) != *first)
            return ERR_OK;
    return *first;
}
