/* Metrics as text for Prometheus (exposition format 0.0.4). */
#ifndef COMMON_PROM_H
#define COMMON_PROM_H

#include "common/buf.h"
#include "common/config.h"
#include "common/envelope.h"

#include <stdio.h>

#define PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the role's metrics, summed over its processes. Leaves out labelled series that were never
 * counted. */
enum err prom_print(struct buf *out, enum role_bit role) MUST_CHECK;

/* Appends the HELP and TYPE lines of a metric that is not in the table. type: "gauge" or "counter".
 */
enum err prom_head(struct buf *out, const char *name, const char *type,
                   const char *help) MUST_CHECK;

/* Appends a label's value, escaped. A value of more than 256 bytes, with a NUL or with invalid
 * UTF-8 is cut or repaired and gets a digest of the whole, so that values stay distinct. One
 * invalid label would make Prometheus drop the whole scrape. */
enum err prom_value(struct buf *out, struct text value) MUST_CHECK;

/* Writes the reference of the table as Markdown. */
void prom_print_reference(FILE *out);

#endif
