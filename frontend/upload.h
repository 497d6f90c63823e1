/* Uploads of files: stores a spooled body piece by piece. */
#ifndef FRONTEND_UPLOAD_H
#define FRONTEND_UPLOAD_H

#include "frontend/exchange.h"

/* Finds the file in the body, asks the route's handler whether to store it, stores it and answers.
 */
extern const struct exchange_kind upload_kind;

#endif
