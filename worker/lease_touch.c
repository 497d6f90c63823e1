#include "worker/lease_touch.h"

#include "common/bus.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/http/cookie.h"

#define AGENT_NAME_MAX 1024

enum { SEEN_LEN = 65536, QUARTERS = 4 }; /* 1 MiB of zero pages, resident only as used */

/* A cache by hash of job, agent and certainty; a colliding entry replaces the older one. */
static struct seen {
    uint64_t hash;
    int64_t until_ms; /* monotonic */
} seen[SEEN_LEN];

static bool was_seen(const struct lease_renewal *r, int64_t now_ms)
{
    uint64_t hash = fnv_add_text(FNV_START + r->certain, r->job_id);

    hash = fnv_add_text(hash, r->agent);
    struct seen *at = &seen[hash % SEEN_LEN];
    if (at->hash == hash && now_ms < at->until_ms)
        return true;
    *at = (struct seen){hash, now_ms + r->length_ms / QUARTERS};
    return false;
}

void leases_touch(struct store *s, const struct call *calls, size_t n)
{
    struct lease_renewal renewals[BUS_BUNDLE_MAX];
    struct buf names[BUS_BUNDLE_MAX];
    int64_t now_ms = clock_mono_ms(), store_ms = store_now_ms(s);
    size_t len = 0;

    for (size_t i = 0; i < n && len < BUS_BUNDLE_MAX; i++) {
        const struct call *c = &calls[i];
        struct text cookie = c->request->headers[HDR_COOKIE];
        if (!c->touch || c->reply.status >= 400 || !c->cfg->job_lease)
            continue;
        names[len] = BUF_INIT(AGENT_NAME_MAX);
        renewals[len] = (struct lease_renewal){.job_id = c->request->params[0],
                                               .certain = c->touch >= TOUCH_AGENT,
                                               .exact = c->touch == TOUCH_STATE,
                                               .now_ms = store_ms,
                                               .length_ms = c->cfg->job_lease * 1000};
        if (cookie.s && cookie_get(cookie, "agent_name", &names[len]))
            renewals[len].agent = (struct text){names[len].data, names[len].len};
        if (!was_seen(&renewals[len], now_ms) || c->touch == TOUCH_STATE)
            len++;
        else
            buf_free(&names[len]);
    }
    if (len && store_leases_renew(s, renewals, len))
        log_debug("leases were not renewed; a later call of their agents does it");
    for (size_t i = 0; i < len; i++)
        buf_free(&names[i]);
}
