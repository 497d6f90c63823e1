/* Uploads of files: a body that was spooled goes to the store piece by piece. */
#ifndef FRONTEND_UPLOAD_H
#define FRONTEND_UPLOAD_H

#include "frontend/exchange.h"

/* Looks for the file in the body, asks the route's handler whether it is wanted, stores it and
 * answers. */
extern const struct exchange_kind upload_kind;

#endif
