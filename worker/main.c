#include "common/bus.h"
#include "common/bus_folder.h"
#include "common/bus_key.h"
#include "common/config.h"
#include "common/exposure.h"
#include "common/log.h"
#include "common/prefork.h"
#include "common/privileges.h"
#include "worker/auth/signing_keys.h"
#include "worker/events/lost_jobs.h"
#include "worker/loop.h"
#include "worker/secrets/master_keys.h"
#include "worker/store/monitor_probe.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define LOGIN_NICE 10

static int child(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    bool logins = slot >= PREFORK_CHILDREN_MAX;

    if (logins)
        prctl(PR_SET_NAME, "tf-login"); /* told apart in lists of processes */
    /* bcrypt saturates a core: login children run at nice 10. */
    if (logins && setpriority(PRIO_PROCESS, 0, LOGIN_NICE) != 0)
        log_warn("logins run with the priority of everything else: %s", strerror(errno));
    return loop_run(cfg, logins ? SERVICE_LOGIN : SERVICE_API, arg, stop_fd);
}

static int monitor(const struct config *cfg, int stop_fd, void *arg)
{
    return watch_run(cfg, R_WORKER, arg, stop_fd);
}

/* Runs the master on the store of this URI. */
static int serve(struct config *cfg, char *uri)
{
    struct prefork p = {.role = "worker",
                        .special = (unsigned)cfg->logins,
                        .child = child,
                        .monitor = monitor,
                        .beats = true,
                        .longest_call_s = store_longest_s(cfg),
                        .arg = uri};

    if (!exposure_bus_allowed("testflinger-worker", cfg) || !signing_keys_check(cfg) ||
        !master_keys_check(cfg, uri) || !lost_jobs_check(cfg) ||
        privileges_drop("testflinger-worker", cfg) ||
        !bus_folder_allowed("testflinger-worker", cfg))
        return EXIT_BAD_SETTING;
    watch_name_metrics();
    if (master_keys_exist(cfg, uri))
        privileges_hide_memory();
    return prefork_run(cfg, &p);
}

int main(int argc, char **argv)
{
    struct config cfg;
    char *uri = NULL;
    int status = EXIT_BAD_SETTING;

    config_load(&cfg, R_WORKER, "testflinger-worker", argc, argv);
    if (bus_setting_ok("testflinger-worker", &cfg) &&
        bus_key_use("testflinger-worker", &cfg, BUS_KEY_WORKER) == ERR_OK &&
        config_store_uri(&cfg, &uri) == ERR_OK)
        status = serve(&cfg, uri);
    free(uri);
    config_free(&cfg);
    return status;
}
