/* Answers that are fetched in pieces, as fast as the client reads: files, and long logs. */
#ifndef FRONTEND_DOWNLOAD_H
#define FRONTEND_DOWNLOAD_H

#include "frontend/exchange.h"

/* Sends the request to the route's handler, whose reply names the file. */
extern const struct exchange_kind download_kind;

/* Sends the request to the route's handler, whose reply is the first part (ROUTE_PARTS). */
extern const struct exchange_kind parts_kind;

#endif
