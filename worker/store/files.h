/* Files in the store: attachments and artifacts, in chunks (GridFS in MongoDB).
 *
 * A file is begun, its chunks are put in any order, each as often as it takes, and it becomes
 * visible with its commit. Of several files of one name the newest is the file. What must not stay,
 * chunks of an upload that was given up and files that a newer one has replaced, is noted with the
 * time at which the sweep removes it. */
#ifndef WORKER_STORE_FILES_H
#define WORKER_STORE_FILES_H

#include "common/file.h"

#include <stdbool.h>
#include <stdint.h>

/* An upload whose last piece came so long ago is given up. */
#define FILE_ABANDONED_MS ((int64_t)15 * 60 * 1000)

/* A replaced file stays this long for those who are reading it. */
#define FILE_REPLACED_MS ((int64_t)5 * 60 * 1000)

enum attachments { ATTACHMENTS_NONE, ATTACHMENTS_AWAITED, ATTACHMENTS_COMPLETE };

struct file_sweep {
    int64_t now_ms;
    int64_t chunks_max; /* removed at most */
    int64_t removed;    /* out: chunks */
    bool more;          /* out: the limit was reached */
};

#endif
