/* Downloads of files: read from the store piece by piece, as the client takes them. */
#ifndef FRONTEND_DOWNLOAD_H
#define FRONTEND_DOWNLOAD_H

#include "frontend/exchange.h"

/* The request goes to the route's handler, whose reply names the file. */
extern const struct exchange_kind download_kind;

#endif
