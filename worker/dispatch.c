#include "worker/dispatch.h"

#include "common/bus.h"
#include "common/clock.h"
#include "common/late.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/op.h"
#include "worker/auth/authorize.h"
#include "worker/auth/claim_holder.h"
#include "worker/auth/security_log.h"
#include "worker/events/silence.h"
#include "worker/http/compress.h"
#include "worker/lease_touch.h"

static void fail_all(struct call *calls, size_t n, enum err e)
{
    for (size_t i = 0; i < n; i++) {
        call_done(&calls[i]);
        calls[i].body = NULL;
        calls[i].submitted = SUBMITTED_NOTHING;
        calls[i].claims_confirmed = calls[i].claims_returned = 0;
        calls[i].reply = (struct reply){0};
        calls[i].secret = false;
        reply_err(&calls[i], e);
    }
}

/* Whether a call is still to be run. */
static bool waits(const struct call *c)
{
    return !c->reply.status && !c->later;
}

/* Whether the store waits for what its handler writes: reads write at most what may be lost. */
static bool may_write(const struct route *r)
{
    return route_method(r) != HTTP_GET || route_op(r) == OP_JOB_CLAIM;
}

/* Runs calls[first] and, where its row gathers, all later ones of the same row. */
static void run_from(handler_fn *const handlers[], struct store *store, struct call *calls,
                     size_t first, size_t n)
{
    const struct route *route = calls[first].route;
    bool gather = (route_flags(route) & ROUTE_GATHER) && !calls[first].ask;
    handler_fn *handler = handlers[calls[first].ask ? OP_ASK : route_op(route)];
    struct call *batch[BUS_BUNDLE_MAX];
    size_t len = 0, others = 0;

    batch[len++] = &calls[first];
    for (size_t i = first + 1; i < n; i++)
        if (gather && calls[i].route == route && !calls[i].ask && waits(&calls[i]))
            batch[len++] = &calls[i];
        else if (waits(&calls[i]) && may_write(calls[i].route))
            others++;
    store->last = others == 0;
    log_set_request(len == 1 ? batch[0]->request->id : NULL);
    int64_t began_us = clock_mono_us();
    if (handler)
        handler(batch, len);
    int64_t took_us = clock_mono_us() - began_us;
    if (!gather)
        calls[first].took_us = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
    for (size_t i = 0; i < len; i++)
        if (!batch[i]->reply.status && !batch[i]->later) {
            log_error("no answer from the handler of %s; this is a defect", route_name(route));
            reply_err(batch[i], ERR_INTERNAL);
        }
    log_set_request(NULL);
}

static void run_all(handler_fn *const handlers[], struct store *store, struct call *calls, size_t n)
{
    for (size_t i = 0; i < n && !late_found(); i++)
        if (waits(&calls[i]))
            run_from(handlers, store, calls, i, n);
}

void dispatch_bundle(handler_fn *const handlers[], struct store *store, struct call *calls,
                     size_t n)
{
    bool grouped = n > 0 && route_service(calls[0].route) != SERVICE_LOGIN;

    for (size_t i = 0; i < n; i++) {
        log_set_request(calls[i].request->id);
        authorize_pass(&calls[i]);
    }
    log_set_request(NULL);
    security_hold();
    enum err e = grouped ? store_group_begin(store) : ERR_OK;
    if (!e) {
        claim_holder_check(store, calls, n);
        run_all(handlers, store, calls, n);
        if (grouped)
            leases_touch(store, calls, n);
        e = grouped ? store_group_commit(store) : ERR_OK;
    }
    if (e)
        fail_all(calls, n, e);
    else if (grouped)
        agents_heard(calls, n);
    /* Publish wakes, metrics and security events only after the commit. */
    security_release();
    for (size_t i = 0; i < n; i++) {
        if (calls[i].submitted)
            metric_add(M_JOBS, calls[i].queue, 1);
        if (calls[i].submitted == SUBMITTED_RESERVATION)
            metric_add(M_RESERVATIONS, calls[i].queue, 1);
        metric_add(M_CLAIMS_CONFIRMED, 0, calls[i].claims_confirmed);
        metric_add(M_CLAIMS_RETURNED, 0, calls[i].claims_returned);
        if (route_flags(calls[i].route) & ROUTE_NO_STORE)
            reply_header(&calls[i], "Cache-Control", "no-store");
        compress_reply(&calls[i]);
    }
}
