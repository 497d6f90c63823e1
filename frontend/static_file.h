/* The files of frontend/static, which are a part of the program. */
#ifndef FRONTEND_STATIC_FILE_H
#define FRONTEND_STATIC_FILE_H

#include "common/text.h"

struct static_file;

/* The file of a name: "app.HASH.css", or "app.css"; NULL: none. *ret_current: the hash is that of
 * the content; another one is that of another release. */
const struct static_file *static_file_find(struct text name, bool *ret_current);

/* The content, plain or compressed by gzip, and its media type. Static storage. */
struct text static_file_body(const struct static_file *f, bool packed);
const char *static_file_type(const struct static_file *f);

#endif
