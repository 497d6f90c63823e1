#include "broker/broker.h"
#include "broker/keys.h"
#include "broker/tally.h"
#include "common/bus.h"
#include "common/bus_folder.h"
#include "common/bus_key.h"
#include "common/config.h"
#include "common/metrics.h"
#include "common/monitor.h"
#include "common/prefork.h"
#include "common/privileges.h"

#include <stdio.h>
#include <string.h>

static int child(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    (void)arg;
    return broker_run(cfg, slot, stop_fd);
}

static bool is_ready(void *arg, char reason[MONITOR_REASON_SIZE])
{
    (void)arg;
    if (metric_total(M_BROKER_WORKERS, SERVICE_API))
        return true;
    snprintf(reason, MONITOR_REASON_SIZE, "no worker");
    return false;
}

static int monitor(const struct config *cfg, int stop_fd, void *arg)
{
    struct monitor m = {.role = R_BROKER, .is_ready = is_ready};

    (void)arg;
    return monitor_run(cfg, &m, stop_fd);
}

/* True: the bus setting is usable; false: the reason is on stderr. */
static bool check_bus(const struct config *cfg)
{
    if (!bus_setting_ok("testflinger-broker", cfg))
        return false;
    if (bus_is_remote(cfg->bus) && !*cfg->bus_key && !cfg->bus_insecure) {
        fprintf(stderr,
                "testflinger-broker: bus: %s can be reached from other machines without keys; use "
                "a loopback address, a key (TESTFLINGER_BUS_KEY), or --bus-insecure yes on a "
                "network that is private\n",
                cfg->bus);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct prefork p = {.role = "broker",
                        .child = child,
                        .children_max = BROKERS_MAX,
                        .fixed_slots = true,
                        .monitor = monitor,
                        .beats = true};
    struct config cfg;

    if (argc == 2 && strcmp(argv[1], "make-key") == 0)
        return keys_make_shared();
    if (argc == 3 && strcmp(argv[1], "make-keys") == 0)
        return keys_make_sides(argv[2]);
    config_load(&cfg, R_BROKER, "testflinger-broker", argc, argv);
    tally_name_metrics();
    int status = check_bus(&cfg) &&
                         bus_key_use("testflinger-broker", &cfg, BUS_KEY_BROKER) == ERR_OK &&
                         privileges_drop("testflinger-broker", &cfg) == ERR_OK &&
                         bus_folder_allowed("testflinger-broker", &cfg)
                     ? prefork_run(&cfg, &p)
                     : EXIT_BAD_SETTING;
    config_free(&cfg);
    return status;
}
