/* Files in GridFS. Files of other servers may have ids of any type: they are never opened, but a
 * newer file of the name replaces them. */
#ifndef WORKER_STORE_MONGO_FILES_H
#define WORKER_STORE_MONGO_FILES_H

#include "worker/store/mongo/db.h"

/* Adds a note for the sweep about one file, a document of fs.files, and hides the file. */
enum err files_give_way(struct mongo *m, const bson_t *file) MUST_CHECK;

#endif
