/* What clients take: the headers Accept and Accept-Encoding (RFC 9110 12.5). */
#ifndef COMMON_ACCEPT_H
#define COMMON_ACCEPT_H

#include "common/text.h"

/* How much the client wants what the header lists under this name, in thousandths; of several the
 * highest; -1: the header does not name it, or there is none (s NULL). */
int accept_quality(struct text header, const char *name);

/* Whether an Accept-Encoding header allows gzip and prefers nothing to it. */
bool accept_gzip(struct text header);

/* Whether an Accept header prefers JSON to HTML. */
bool accept_json(struct text header);

#endif
