/* What the two files about GridFS share. Files that others wrote may have ids of any type; those
 * are never opened, but give way to a newer one like all others. */
#ifndef WORKER_STORE_MONGO_GRIDFS_H
#define WORKER_STORE_MONGO_GRIDFS_H

#include "worker/store/mongo/db.h"

/* The newest document of a name in fs.files. ERR_NOT_FOUND. */
enum err gridfs_newest(struct mongo *m, struct text name, struct db_found *ret) MUST_CHECK;

/* Notes one file, a document of fs.files, for the sweep and takes it out of sight. */
enum err gridfs_give_way(struct mongo *m, const bson_t *file) MUST_CHECK;

#endif
