/* Uploads of files: a body that was spooled goes to the store piece by piece. */
#ifndef FRONTEND_UPLOAD_H
#define FRONTEND_UPLOAD_H

#include "frontend/exchange.h"

/* Memory of an exchange that uploads. */
struct exchange *upload_new(void);

/* Takes the exchange's body, which is complete: looks for the file in it, asks the route's handler
 * with `request` whether it is wanted, stores it and answers. `request` is used during the call
 * only. */
void upload_begin(struct exchange *x, const struct request *request);

#endif
