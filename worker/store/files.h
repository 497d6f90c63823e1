/* Files in the store: attachments and artifacts, in chunks (GridFS in MongoDB).
 *
 * file_begin, then file_put for the chunks in any order (a repeat is harmless), then file_commit,
 * which makes the file visible. The newest file of a name counts. Chunks of abandoned uploads and
 * replaced files are noted with the time at which files_sweep removes them. */
#ifndef WORKER_STORE_FILES_H
#define WORKER_STORE_FILES_H

#include "common/file.h"

#include <stdbool.h>
#include <stdint.h>

/* An upload without a new piece for this long is given up. For as long, a commit is known: begin,
 * pieces and commit that come once more, late, have no effect. */
#define FILE_ABANDONED_MS ((int64_t)15 * 60 * 1000)

/* A replaced file stays this long for its readers. */
#define FILE_REPLACED_MS ((int64_t)5 * 60 * 1000)

enum attachments { ATTACHMENTS_NONE, ATTACHMENTS_AWAITED, ATTACHMENTS_COMPLETE };

struct file_sweep {
    int64_t now_ms;
    int64_t chunks_max; /* removed at most */
    int64_t removed;    /* out: chunks */
    bool more;          /* out: the limit was reached */
};

#endif
