/* HTTP to receivers: many transfers at once by libcurl in a libevent loop, without threads except
 * libcurl's own for name resolution. */
#ifndef WORKER_WEBHOOK_TRANSFER_H
#define WORKER_WEBHOOK_TRANSFER_H

#include "common/address.h"
#include "common/envelope.h"
#include "worker/webhook/verdict.h"

#include <event2/event.h>

#define ANSWER_MAX    (64 * (size_t)1024) /* bytes of a receiver's answer that are kept */
#define REDIRECTS_MAX 5

struct transfers;

/* What to send. The texts must stay until the transfer has ended. */
struct delivery {
    const char *url;
    const char *receiver; /* the one of `url` */
    const char *id;       /* of the event */
    int64_t try_number;   /* from 1 on */
    struct text body;
    bool with_auth;             /* send the token of WEBHOOK_AUTH */
    enum address_kind furthest; /* the least trusted kind of address allowed */
    bool follow;                /* follow redirects to the same receiver */
};

/* Called when a transfer has ended, never within transfer_start. `answer` is valid during the call.
 */
typedef void transfer_done_fn(void *arg, const struct outcome *o, struct text answer);

/* NULL (logged): libcurl cannot be used. */
struct transfers *transfers_new(struct event_base *base, const struct config *cfg,
                                transfer_done_fn *done);
/* Aborts running transfers without calling `done`. `all` may be NULL. */
void transfers_free(struct transfers *all);

/* Begins a transfer; `arg` is passed to `done`. On an error `done` is not called. ERR_INVALID: the
 * URL does not lead to the receiver. */
enum err transfer_start(struct transfers *all, const struct delivery *d, void *arg) MUST_CHECK;

#endif
