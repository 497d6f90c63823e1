/* What the two files about GridFS share. Files that others wrote may have ids of any type; those
 * are never opened, but give way to a newer one like all others. */
#ifndef WORKER_STORE_MONGO_GRIDFS_H
#define WORKER_STORE_MONGO_GRIDFS_H

#include "worker/store/mongo/mongo.h"

/* The newest document of a name in fs.files, which points into *ret_reply, the caller's to destroy
 * after success. ERR_NOT_FOUND. */
enum err gridfs_newest(struct mongo *m, struct text name, bson_t *ret_reply,
                       bson_t *ret_doc) MUST_CHECK;

/* Deletes the documents that match. */
enum err gridfs_delete(struct mongo *m, const char *collection, const bson_t *filter) MUST_CHECK;

/* Notes one file, a document of fs.files, for the sweep and takes it out of sight. */
enum err gridfs_give_way(struct mongo *m, const bson_t *file) MUST_CHECK;

/* The first document that matches; likewise. */
enum err gridfs_first(struct mongo *m, const char *collection, const bson_t *filter,
                      const bson_t *sort, bson_t *ret_reply, bson_t *ret_doc) MUST_CHECK;

/* A filter {_id: ID}; the caller destroys it. */
bson_t *gridfs_by_id(const char *id);

#endif
