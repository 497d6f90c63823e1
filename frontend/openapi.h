/* docs/openapi.json as a part of the program. */
#ifndef FRONTEND_OPENAPI_H
#define FRONTEND_OPENAPI_H

#include "common/envelope.h"

/* Static storage. */
struct text openapi_document(void);

#endif
