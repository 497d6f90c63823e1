/* HTTP to receivers: many transfers at once by libcurl in a libevent loop, without threads (but
 * those in which libcurl asks for the addresses of a name). */
#ifndef WORKER_WEBHOOK_TRANSFER_H
#define WORKER_WEBHOOK_TRANSFER_H

#include "common/address.h"
#include "common/envelope.h"
#include "worker/webhook/verdict.h"

#include <event2/event.h>

#define ANSWER_MAX    (64 * (size_t)1024) /* bytes of a receiver's answer that are read */
#define REDIRECTS_MAX 5

struct transfers;

/* What to send. The texts must stay until the transfer has ended. */
struct delivery {
    const char *url;
    const char *receiver; /* that url names */
    const char *id;       /* of the event */
    int64_t try_number;   /* from 1 on */
    struct text body;
    bool with_auth;             /* it may see the setting WEBHOOK_AUTH */
    enum address_kind furthest; /* it may have an address of this kind, or of one before it */
    bool follow;                /* redirects to the same receiver */
};

/* Hears that a transfer has ended; not within transfer_start. `answer` is valid during the call. */
typedef void transfer_done_fn(void *arg, const struct outcome *o, struct text answer);

/* NULL (logged): it cannot work. */
struct transfers *transfers_new(struct event_base *base, const struct config *cfg,
                                transfer_done_fn *done);
/* Ends what is under way without a word. The argument may be NULL. */
void transfers_free(struct transfers *all);

/* Begins a transfer; `arg` is for `done`, which hears nothing after an error. ERR_INVALID: the URL
 * is not one of the receiver. */
enum err transfer_start(struct transfers *all, const struct delivery *d, void *arg) MUST_CHECK;

#endif
