/* Idempotency keys of submissions. */
#ifndef WORKER_STORE_KEYS_H
#define WORKER_STORE_KEYS_H

#include "common/err.h"
#include "worker/validation/job_id.h"

#include <stdbool.h>
#include <stdint.h>

#define SUBMIT_DIGEST_SIZE 65 /* hex digits and a NUL */

/* A submission with a key. The first one with it counts until the key expires. */
struct submit_key {
    char key[SUBMIT_DIGEST_SIZE];
    char body[SUBMIT_DIGEST_SIZE];
    char job_id[JOB_ID_SIZE]; /* in: if this is the first; out: of the first */
    int64_t received_us;      /* likewise */
    bool again;               /* out: it is not the first */
    enum err err;             /* out: ERR_OK; ERR_CONFLICT: the first had another body */
};

#endif
