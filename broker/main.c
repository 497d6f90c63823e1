#include "broker/broker.h"
#include "common/bus.h"
#include "common/config.h"
#include "common/prefork.h"

#include <stdio.h>

static int child(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    (void)arg;
    return broker_run(cfg, slot, stop_fd);
}

/* Says what is wrong with the bus setting; true: it will do. */
static bool check_bus(const struct config *cfg)
{
    char endpoint[BUS_ENDPOINT_SIZE];

    if (bus_endpoint(cfg->bus, 0, BUS_FRONTENDS, endpoint)) {
        fprintf(stderr,
                "testflinger-broker: bus: '%s' is neither a folder with a short path nor "
                "tcp://HOST:PORT; set --bus\n",
                cfg->bus);
        return false;
    }
    if (bus_is_remote(cfg->bus) && !cfg->bus_insecure) {
        fprintf(stderr,
                "testflinger-broker: bus: %s can be reached from other machines without keys; use "
                "a loopback address, or --bus-insecure yes on a network that is private\n",
                cfg->bus);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct prefork p = {.role = "broker", .child = child, .children_max = BROKERS_MAX};
    struct config cfg;

    config_load(&cfg, R_BROKER, "testflinger-broker", argc, argv);
    int status = check_bus(&cfg) ? prefork_run(&cfg, &p) : EXIT_BAD_SETTING;
    config_free(&cfg);
    return status;
}
