#include "common/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mem_check(bool ok)
{
    if (ok)
        return;
    fputs("out of memory\n", stderr);
    abort();
}

static void *checked(void *p)
{
    mem_check(p);
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *mem_realloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1));
}

char *mem_strdup(const char *s)
{
    return checked(strdup(s));
}

char *mem_strndup(const char *s, size_t len)
{
    char *p = checked(malloc(len + 1));
    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

void mem_wipe(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}
