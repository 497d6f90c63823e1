/* Lists of jobs by age. */
#ifndef WORKER_STORE_SQLITE_LISTS_H
#define WORKER_STORE_SQLITE_LISTS_H

#include "worker/store/sqlite/sqlite.h"

/* The place of a job in a list; as text it is the cursor of the page behind it. */
struct list_place {
    int64_t created_us, id;
};

/* ERR_INVALID: it is no cursor of this store. */
enum err sqlite_place_parse(const char *cursor, struct list_place *ret) MUST_CHECK;
void sqlite_place_print(const struct list_place *p, char out[LIST_CURSOR_SIZE]);

#endif
