/* Files of jobs, attachments and artifacts, as the frontend and the workers pass them in pieces
 * (docs/protocol.md). */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include "common/envelope.h"

#include <stdbool.h>
#include <stdint.h>

#define FILE_CHUNK      ((int64_t)261120) /* bytes of a stored chunk, as GridFS has it */
#define FILE_PIECE      (8 * FILE_CHUNK)  /* bytes of a piece, but the last one of a file */
#define FILE_ID_SIZE    25                /* 24 hexadecimal digits with their NUL */
#define FILE_NAME_SIZE  160               /* of the name in the store, with its NUL */
#define FILE_INFO_SIZE  (FILE_NAME_SIZE + 128)
#define FILE_FACTS_SIZE 24  /* of upload facts, without a NUL */
#define FILE_GO_ON      202 /* status: begun, the body is the file's info */

/* The names of parameters of internal requests. */
#define FILE_PARAM_INFO "file"
#define FILE_PARAM_AT   "at"
#define FILE_PARAM_SIZE "size"

/* A file in the store. */
struct file_info {
    char id[FILE_ID_SIZE];
    int64_t length;
    int64_t chunk;   /* bytes of a chunk */
    int64_t date_ms; /* of the upload */
    char name[FILE_NAME_SIZE];
};

/* A file as one text, which only these two functions understand; false: it is none. */
void file_info_print(const struct file_info *f, char out[FILE_INFO_SIZE]);
bool file_info_parse(struct text t, struct file_info *ret);

/* What the frontend has found in the body of an upload, of a fixed size: the bytes of the file, or
 * the status (4xx) to answer, negative, when everything else is in order. */
void file_facts_print(int64_t facts, char out[FILE_FACTS_SIZE]);
bool file_facts_parse(struct text t, int64_t *ret);

/* A decimal number that is the whole text and not negative. */
bool file_number_parse(struct text t, int64_t *ret);

/* The value of a parameter, s NULL: it is not there. */
struct text file_param(const struct request *r, const char *name);

#endif
