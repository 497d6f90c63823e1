#include "worker/jobs/percentiles.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

static const int shown[] = {5, 10, 50, 90, 95};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static json_t *percentile(const double *sorted, size_t n, int p)
{
    double at = (double)(n - 1) * p / 100;
    size_t below = (size_t)at;

    if (below + 1 < n)
        return json_real(sorted[below] * ((double)(below + 1) - at) +
                         sorted[below + 1] * (at - (double)below));
    return json_integer((json_int_t)sorted[below]);
}

json_t *percentiles(const json_t *values)
{
    size_t size = json_array_size(values), n = 0;
    double *sorted = mem_alloc(size * sizeof *sorted);
    json_t *result = json_object();
    char name[8];

    for (size_t i = 0; i < size; i++)
        if (json_is_number(json_array_get(values, i)))
            sorted[n++] = json_number_value(json_array_get(values, i));
    qsort(sorted, n, sizeof *sorted, compare);
    for (size_t i = 0; n && i < sizeof shown / sizeof *shown; i++) {
        snprintf(name, sizeof name, "%d", shown[i]);
        json_object_set_new(result, name, percentile(sorted, n, shown[i]));
    }
    free(sorted);
    return result;
}
