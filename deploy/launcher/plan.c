#include "deploy/launcher/plan.h"

#include "common/bus.h"
#include "common/exposure.h"
#include "common/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    YOUNG_MS = 2000, /* a role that ends younger failed to start */
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000
};

#define COUNT(field) offsetof(struct config, field)
/* In the order of enum plan_role_id. Frontends end first: their requests still need the others. */
const struct plan_role plan_roles[PLAN_ROLES] = {
    {R_BROKER, "brokers", "testflinger-broker", COUNT(brokers), 1, 1},
    {R_WORKER, "workers", "testflinger-worker", COUNT(workers), 1, 2},
    {R_WEBHOOK, "webhooks", "testflinger-webhook", COUNT(webhooks), 1, 3},
    {R_FRONTEND, "frontends", "testflinger-frontend", COUNT(frontends), 0, 0},
};

int64_t plan_count(const struct config *cfg, enum plan_role_id role)
{
    return *(const int64_t *)((const char *)cfg + plan_roles[role].count);
}

void plan_args(const struct config *cfg, enum plan_role_id role, struct plan_args *ret)
{
    int n = 0;

    *ret = (struct plan_args){0};
    snprintf(ret->text[n++], sizeof *ret->text, "%s", plan_roles[role].binary);
    snprintf(ret->text[n++], sizeof *ret->text, "--processes");
    snprintf(ret->text[n++], sizeof *ret->text, "%lld", (long long)plan_count(cfg, role));
    /* The brokers run elsewhere; the roles must not take 0 for "no broker at all". */
    if (cfg->brokers == 0 && (plan_roles[role].bit & (R_FRONTEND | R_WORKER | R_WEBHOOK))) {
        snprintf(ret->text[n++], sizeof *ret->text, "--brokers");
        snprintf(ret->text[n++], sizeof *ret->text, "1");
    }
    if (cfg->metrics_port) {
        snprintf(ret->text[n++], sizeof *ret->text, "--metrics-port");
        snprintf(ret->text[n++], sizeof *ret->text, "%lld",
                 (long long)cfg->metrics_port + plan_roles[role].metrics);
    }
    for (int i = 0; i < n; i++)
        ret->argv[i] = ret->text[i];
}

const char *plan_sqlite_path(const char *uri)
{
    size_t n = strlen("sqlite:");

    return strncmp(uri, "sqlite:", n) == 0 ? uri + n : NULL;
}

static enum err check_counts(const struct config *cfg, char reason[PLAN_REASON_SIZE])
{
    for (int i = 0; i < PLAN_ROLES; i++)
        if (plan_count(cfg, (enum plan_role_id)i) > 0)
            return ERR_OK;
    snprintf(reason, PLAN_REASON_SIZE,
             "nothing to start: --brokers, --workers, --webhooks and --frontends are all 0");
    return ERR_INVALID;
}

static enum err check_listen(const struct config *cfg, char reason[PLAN_REASON_SIZE])
{
    struct listen_address address;

    if (cfg->frontends == 0 || listen_split(cfg->listen, &address) == ERR_OK)
        return ERR_OK;
    snprintf(reason, PLAN_REASON_SIZE,
             "listen: '%.200s' is not HOST:PORT or [HOST]:PORT with a port from 1 to 65535",
             cfg->listen);
    return ERR_INVALID;
}

static enum err check_bus(const struct config *cfg, char reason[PLAN_REASON_SIZE])
{
    char endpoint[BUS_ENDPOINT_SIZE];
    unsigned last = cfg->brokers > 1 ? (unsigned)cfg->brokers - 1 : 0;

    if (!*cfg->bus) {
        /* A private folder only works where the launcher starts all roles that use it. */
        if (cfg->brokers > 0 && cfg->workers > 0 && cfg->frontends > 0)
            return ERR_OK;
        snprintf(reason, PLAN_REASON_SIZE,
                 "bus: --%s 0 leaves these to other launchers; set --bus to the bus that all share",
                 cfg->brokers == 0   ? "brokers"
                 : cfg->workers == 0 ? "workers"
                                     : "frontends");
        return ERR_INVALID;
    }
    if (bus_endpoint(cfg->bus, last, BUS_FRONTENDS, endpoint) ||
        bus_endpoint(cfg->bus, last, BUS_WORKERS, endpoint)) {
        snprintf(reason, PLAN_REASON_SIZE,
                 "bus: '%.200s' is neither a folder (of at most 87 bytes) nor tcp://HOST:PORT (of "
                 "at most 65503)",
                 cfg->bus);
        return ERR_INVALID;
    }
    if (bus_is_remote(cfg->bus) && !*cfg->bus_key && !cfg->bus_insecure) {
        snprintf(reason, PLAN_REASON_SIZE,
                 "bus: %.200s can be reached from other machines without keys; use a loopback "
                 "address, a key (TESTFLINGER_BUS_KEY), or --bus-insecure yes on a network that is "
                 "private",
                 cfg->bus);
        return ERR_INVALID;
    }
    return cfg->workers + cfg->webhooks > 0 ? exposure_check_bus(cfg, reason) : ERR_OK;
}

/* The reasons never show the URI: it may hold a password. */
static enum err check_store(const struct config *cfg, const char *uri,
                            char reason[PLAN_REASON_SIZE])
{
    const char *path = plan_sqlite_path(uri);

    if (cfg->workers == 0 && cfg->webhooks == 0)
        return ERR_OK;
    if (path && *path)
        return ERR_OK;
    if (path)
        snprintf(reason, PLAN_REASON_SIZE, "store: sqlite: must be followed by a file's path");
    else if (strncmp(uri, "mongodb://", 10) == 0 || strncmp(uri, "mongodb+srv://", 14) == 0)
        return ERR_OK;
    else
        snprintf(reason, PLAN_REASON_SIZE,
                 "store: the URI begins neither with sqlite: nor with mongodb://");
    return ERR_INVALID;
}

enum err plan_check(const struct config *cfg, const char *uri, char reason[PLAN_REASON_SIZE])
{
    enum err e = check_counts(cfg, reason);

    if (e == ERR_OK)
        e = check_listen(cfg, reason);
    if (e == ERR_OK)
        e = check_bus(cfg, reason);
    if (e == ERR_OK)
        e = check_store(cfg, uri, reason);
    return e;
}

int64_t plan_backoff(int64_t lived_ms, unsigned *deaths)
{
    int64_t pause = BACKOFF_MS;

    if (lived_ms >= YOUNG_MS) {
        *deaths = 0;
        return 0;
    }
    /* No pause after the first early death: a single kill must not cost one. */
    for (unsigned i = 0; i < *deaths && pause < BACKOFF_MAX_MS; i++)
        pause *= 2;
    ++*deaths;
    if (*deaths == 1)
        return 0;
    return pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS;
}
