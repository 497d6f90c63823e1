#include "common/bus.h"
#include "common/config.h"
#include "common/log.h"
#include "common/prefork.h"
#include "worker/busloop.h"

#include <stdio.h>
#include <stdlib.h>

static int child(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    (void)slot;
    return busloop_run(cfg, arg, stop_fd);
}

int main(int argc, char **argv)
{
    struct config cfg;
    char endpoint[BUS_ENDPOINT_SIZE], *uri;

    config_load(&cfg, R_WORKER, "testflinger-worker", argc, argv);
    if (bus_endpoint(cfg.bus, 0, BUS_WORKERS, endpoint)) {
        fprintf(stderr,
                "testflinger-worker: bus: '%s' is neither a folder with a short path nor "
                "tcp://HOST:PORT; set --bus\n",
                cfg.bus);
        return EXIT_BAD_SETTING;
    }
    if (config_store_uri(&cfg, &uri))
        return EXIT_BAD_SETTING;
    struct prefork p = {.role = "worker", .child = child, .arg = uri};
    int status = prefork_run(&cfg, &p);
    free(uri);
    config_free(&cfg);
    return status;
}
