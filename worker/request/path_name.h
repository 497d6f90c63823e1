/* Names in paths. */
#ifndef WORKER_REQUEST_PATH_NAME_H
#define WORKER_REQUEST_PATH_NAME_H

#include "worker/request/call.h"

/* Whether the name of the path, its first parameter, may be stored; else the call is answered with
 * 422 {"detail": {"path": {FIELD: [TEXT]}}}. */
bool name_of_path_is_fine(struct call *c, const char *field);

#endif
