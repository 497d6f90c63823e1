#include "worker/webhook/state.h"

#include "common/clock.h"

enum { STORE_RETRY_MS = 1000 }; /* pause between attempts to open the store */

struct store *dispatcher_store(struct dispatcher *d)
{
    int64_t now = clock_mono_ms();

    if (d->store || (d->store_tried && now - d->store_tried < STORE_RETRY_MS))
        return d->store;
    if (store_open(d->store_uri, d->cfg, &d->store))
        d->store = NULL;
    d->store_tried = clock_mono_ms();
    return d->store;
}
