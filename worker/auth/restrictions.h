/* The restricted queues as this process knows them: read again when they are older than
 * RESTRICTIONS_MS, so that idle agents cost no queries of their own. For what agents are shown and
 * for their claims; a submission looks at the store. */
#ifndef WORKER_AUTH_RESTRICTIONS_H
#define WORKER_AUTH_RESTRICTIONS_H

#include "worker/store/store.h"

/* Milliseconds after which a change made by another process, of this server or not, is seen. */
#define RESTRICTIONS_MS 1000

/* {QUEUE: [OWNER, ...], ...} of all restricted queues, some of which have no owner. *ret is
 * borrowed until the next call. */
enum err restrictions_get(struct store *s, const json_t **ret) MUST_CHECK;

/* Call it when this process has changed a restricted queue or a client: the next call reads. */
void restrictions_changed(void);

#endif
