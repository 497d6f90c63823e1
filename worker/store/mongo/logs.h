/* What the files on logs share. */
#ifndef WORKER_STORE_MONGO_LOGS_H
#define WORKER_STORE_MONGO_LOGS_H

#include "worker/store/mongo/mongo.h"

/* log_type of each enum output_type. */
extern const char *const log_type_names[];

/* The piece that a document of `logs` is, as a view; false: it has no phase that there is. */
bool logs_piece(const bson_t *doc, struct log_piece *ret);

#endif
