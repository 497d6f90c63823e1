/* The check of fuzz targets: what does not hold ends the process, which libFuzzer reports. */
#ifndef TESTS_FUZZ_REQUIRE_H
#define TESTS_FUZZ_REQUIRE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void require_(bool is_so, const char *what)
{
    if (is_so)
        return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}
#define require(...) require_(__VA_ARGS__, #__VA_ARGS__)

#endif
