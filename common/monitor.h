/* The monitor: one more child of a role's master that answers /metrics, /healthz and /readyz on the
 * metrics port, so that probes and scrapes do not delay requests. */
#ifndef COMMON_MONITOR_H
#define COMMON_MONITOR_H

#include "common/buf.h"
#include "common/config.h"

#include <stdbool.h>

#define MONITOR_REASON_SIZE 128

struct monitor {
    enum role_bit role;
    void *arg;
    /* Whether the role can do its work; false: `reason` gets why, such as "no broker". */
    bool (*is_ready)(void *arg, char reason[MONITOR_REASON_SIZE]);
    /* Appends metrics that are looked up at each scrape; may be NULL. */
    enum err (*more)(void *arg, struct buf *out);
};

/* Serves until told to stop; returns the exit status: EXIT_BAD_SETTING when the address is wrong,
 * 1 when the port is taken (a predecessor may be about to leave it). */
int monitor_run(const struct config *cfg, const struct monitor *m, int stop_fd);

#endif
