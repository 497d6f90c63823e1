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

/* attachments_look  what the job expects. ERR_NOT_FOUND: no such job, or it does not wait.
 * file_begin        notes an upload: without a commit it is swept FILE_ABANDONED_MS later.
 * file_put          stores the chunks from byte `at`, a multiple of FILE_CHUNK, on; a repeat
 *                   changes nothing. ERR_NOT_FOUND: the upload was given up.
 * file_commit       makes the file visible; files of this name that are older are noted for the
 *                   sweep. Its date is raised where one of the name is as new. `attached_to` not
 *                   NULL: the job of this id that awaits attachments has them now. A repeat changes
 *                   nothing. ERR_NOT_FOUND: the upload was given up.
 * file_open         the newest file of a name. ERR_NOT_FOUND.
 * file_read         appends `size` bytes from byte `at` on; `at` + `size` is within the file.
 *                   ERR_NOT_FOUND: a part is no longer there.
 * files_sweep       removes what is noted, as much as it may; see struct file_sweep. */

#endif
