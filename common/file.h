/* Files of jobs (attachments and artifacts), which the frontend and the workers exchange in pieces
 * (docs/protocol.md). */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include "common/envelope.h"

#include <stdbool.h>
#include <stdint.h>

#define FILE_CHUNK      ((int64_t)261120) /* bytes of a stored chunk, as in GridFS */
#define FILE_PIECE      (8 * FILE_CHUNK)  /* bytes of a piece; the last of a file is shorter */
#define FILE_ID_SIZE    25                /* 24 hexadecimal digits and a NUL */
#define FILE_NAME_SIZE  160               /* name in the store, with its NUL */
#define FILE_INFO_SIZE  (FILE_NAME_SIZE + 128)
#define FILE_FACTS_SIZE 24  /* of upload facts, without a NUL */
#define FILE_GO_ON      202 /* status: the upload has begun; the body is its file_info */

/* The names of parameters of internal requests. */
#define FILE_PARAM_INFO "file"
#define FILE_PARAM_AT   "at"
#define FILE_PARAM_SIZE "size"

/* Of an answer in parts, to the frontend only: the place of the next part, opaque text of less than
 * FILE_INFO_SIZE bytes, sent back as FILE_PARAM_INFO. Without it the part is the last one. */
#define PART_NEXT "Next-Part"

/* A file in the store. */
struct file_info {
    char id[FILE_ID_SIZE];
    int64_t length;
    int64_t chunk;   /* bytes of a chunk */
    int64_t date_ms; /* of the upload */
    char name[FILE_NAME_SIZE];
};

/* How many chunks it has. */
static inline int64_t file_chunks(const struct file_info *f)
{
    return f->length / f->chunk + (f->length % f->chunk != 0);
}

/* A file_info as one text, opaque to everybody else; false: not such a text. */
void file_info_print(const struct file_info *f, char out[FILE_INFO_SIZE]);
bool file_info_parse(struct text t, struct file_info *ret);

/* The frontend's finding on the body of an upload, as text of a fixed size: the size of the file in
 * bytes, or the negated status (4xx) with which to answer once nothing else is wrong. */
void file_facts_print(int64_t facts, char out[FILE_FACTS_SIZE]);
bool file_facts_parse(struct text t, int64_t *ret);

/* Reads a decimal number of 0 or more that is the whole text. */
bool file_number_parse(struct text t, int64_t *ret);

/* The value of a parameter; s NULL: absent. */
struct text file_param(const struct request *r, const char *name);

#endif
