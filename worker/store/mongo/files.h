/* Files in GridFS. Those that others wrote may have ids of any type: they are never opened, but
 * give way to a newer one like all others. */
#ifndef WORKER_STORE_MONGO_FILES_H
#define WORKER_STORE_MONGO_FILES_H

#include "worker/store/mongo/db.h"

/* Notes one file, a document of fs.files, for the sweep and takes it out of sight. */
enum err files_give_way(struct mongo *m, const bson_t *file) MUST_CHECK;

#endif
