/* Downloads of files: read from the store piece by piece, as the client takes them. */
#ifndef FRONTEND_DOWNLOAD_H
#define FRONTEND_DOWNLOAD_H

#include "frontend/exchange.h"

/* Memory of an exchange that downloads: the request goes to the route's handler, whose answer names
 * the file. */
struct exchange *download_new(void);

#endif
