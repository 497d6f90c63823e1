/* The one table of errors: what functions return and which HTTP status stands for it. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
#define ERR(name, status, retry, text) name,
#include "common/err.def"
#undef ERR
    ERR_COUNT_
};

/* HTTP status of an error; 500 for a value outside the table. */
int err_status(enum err e);

/* Seconds after which the client may try again; 0: it is told nothing. */
int err_retry(enum err e);

/* Short English text of an error, static storage. */
const char *err_text(enum err e);

#endif
