/* JSON as YAML that readers of YAML 1.1 and 1.2 take for the same value. */
#ifndef WORKER_WEB_YAML_OUT_H
#define WORKER_WEB_YAML_OUT_H

#include "common/buf.h"

#include <jansson.h>

/* Appends a value as one document that ends with a line end. Texts of several lines are literal
 * blocks. ERR_TOO_LARGE: it does not fit the buffer; ERR_INTERNAL: libyaml refuses it. */
enum err yaml_write(const json_t *value, struct buf *out) MUST_CHECK;

/* The shortest digits that read back as the same number, with the point that YAML 1.1 wants. */
#define YAML_REAL_SIZE 48
void yaml_real(double value, char out[YAML_REAL_SIZE]);

#endif
