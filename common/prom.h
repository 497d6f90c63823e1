/* Metrics as text for Prometheus (exposition format 0.0.4). */
#ifndef COMMON_PROM_H
#define COMMON_PROM_H

#include "common/buf.h"
#include "common/config.h"
#include "common/envelope.h"

#include <stdio.h>

#define PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the role's metrics, added up over its processes. Series of a label that were never
 * counted are left out. */
enum err prom_print(struct buf *out, enum role_bit role) MUST_CHECK;

/* Appends the two head lines of a metric that is in no table. type: "gauge" or "counter". */
enum err prom_head(struct buf *out, const char *name, const char *type,
                   const char *help) MUST_CHECK;

/* Appends a label's value with what must be escaped in it. One with more than 256 bytes, a NUL or
 * bytes that are no UTF-8 is shortened or mended, and gets a digest of the whole: different values
 * never become one label, and one bad label makes Prometheus drop all metrics of the process. */
enum err prom_value(struct buf *out, struct text value) MUST_CHECK;

/* Writes the reference of the table as Markdown. */
void prom_print_reference(FILE *out);

#endif
