/* Allocation that ends the process when memory is out: the master restarts it, which is safer than
 * error paths that no test has run. */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *mem_alloc(size_t size); /* zeroed */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len); /* copies len bytes and adds a NUL */

/* Overwrites the whole allocation, then frees it: for secrets. May be NULL. */
void mem_wipe(void *p);

/* For allocations by libraries: ends the process unless `ok`. */
void mem_check(bool ok);

#endif
