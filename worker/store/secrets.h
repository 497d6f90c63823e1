/* Secrets of clients, which jobs name and agents get with them. Part of store.h, whose rules and
 * errors apply. Values are encrypted in the store. Where struct store has no secrets, the
 * operations that read or write values return ERR_UNAVAILABLE. */
#ifndef WORKER_STORE_SECRETS_H
#define WORKER_STORE_SECRETS_H

#include "common/envelope.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Replaces or makes a secret. */
struct secret_put {
    struct text client, path, value;
    bool single_use;    /* gone once a job has got it */
    int64_t expires_ms; /* 0: never */
    bool existed;       /* out: it replaced one that had not expired */
};

struct secret_look {
    struct text path;
    bool found; /* out */
};

struct secret_read {
    struct text path;
    char *value;     /* out: owned by the caller, to be freed by mem_wipe(); NULL: none */
    size_t len;      /* out */
    bool single_use; /* out */
};

/* What a job gets at its claim. */
struct secret_take {
    struct text client, job_id;
    struct secret_read *reads;
    size_t n;
    size_t bytes; /* of the values that were read */
};
#define SECRETS_TAKEN_MAX 128       /* of one job */
#define SECRETS_BYTES_MAX (1 << 20) /* of all values of a job; others have none */

/* Counts the value, if there is one, among those of the job; wipes it (logged) where they are more
 * than SECRETS_BYTES_MAX: the job gets "". To be called before a single-use secret is marked. */
void secret_count(struct secret_take *t, struct secret_read *read);

/* A secret in a walk through all of them; without its value. */
struct secret_shown {
    struct text client; /* where MongoDB's document has none, from the collection's name */
    struct text path;
    bool single_use, claimed; /* claimed: a job has it */
    int64_t expires_ms, updated_ms;
    bool readable; /* its value can be decrypted by the present keys */
};
typedef void secret_take_fn(void *arg, const struct secret_shown *secret);

#endif
