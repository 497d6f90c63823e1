/* Plain scalars of YAML, read as PyYAML's safe loader reads them (YAML 1.1). */
#ifndef WORKER_WEB_YAML_PLAIN_H
#define WORKER_WEB_YAML_PLAIN_H

#include "common/text.h"

#include <jansson.h>

/* The value of a plain scalar without NUL that a NUL follows, a new reference: null, a boolean, a
 * number, else its text; dates are texts. NULL: JSON has no such number, and *ret_fault (static
 * storage) says so. */
json_t *yaml_plain(struct text t, const char **ret_fault);

#endif
