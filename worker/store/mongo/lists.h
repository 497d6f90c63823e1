/* Lists of jobs by created_at and _id. */
#ifndef WORKER_STORE_MONGO_LISTS_H
#define WORKER_STORE_MONGO_LISTS_H

#include "worker/store/mongo/db.h"

/* The place of a job in a list; as text it is the cursor of the page behind it. */
struct list_place {
    int64_t created_ms;
    bson_oid_t id;
};

/* ERR_INVALID: it is no cursor of this store. */
enum err mongo_place_parse(const char *cursor, struct list_place *ret) MUST_CHECK;
/* The cursor behind a document; "" where its _id is no ObjectId. */
void mongo_place_print(const bson_t *doc, char out[LIST_CURSOR_SIZE]);

/* Adds the wanted states to a filter. *ret_listed: one by one, so that IX_JOB_STATE serves it;
 * `list_active`: also those that are not over. */
enum err mongo_states_add(struct mongo *m, bson_t *filter, enum search_states which,
                          const json_t *states, bool list_active, bool *ret_listed) MUST_CHECK;

#endif
