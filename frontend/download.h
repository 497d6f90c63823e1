/* Downloads of files: fetched from the store in pieces, as fast as the client reads. */
#ifndef FRONTEND_DOWNLOAD_H
#define FRONTEND_DOWNLOAD_H

#include "frontend/exchange.h"

/* Sends the request to the route's handler, whose reply names the file. */
extern const struct exchange_kind download_kind;

#endif
