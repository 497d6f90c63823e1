#include "common/bus.h"
#include "common/bus_key.h"
#include "common/config.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/monitor.h"
#include "common/prefork.h"
#include "frontend/http.h"
#include "frontend/link.h"

#include <stdio.h>
#include <unistd.h>

#define PROGRAM "testflinger-frontend"

static int child(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    (void)slot;
    return http_run(cfg, *(int *)arg, stop_fd);
}

static void warn_open(int fd)
{
    char address[LISTEN_TEXT_SIZE];

    listen_text(fd, address);
    log_warn(
        "access control is off and %s can be reached from other machines: everyone who reaches "
        "it may do everything; set --auth roles or login, or --listen to a loopback address",
        address);
}

static bool is_ready(void *arg, char reason[MONITOR_REASON_SIZE])
{
    (void)arg;
    if (metric_total(M_BUS_BROKERS, 0))
        return true;
    snprintf(reason, MONITOR_REASON_SIZE, "no broker");
    return false;
}

static int monitor(const struct config *cfg, int stop_fd, void *arg)
{
    struct monitor m = {.role = R_FRONTEND, .is_ready = is_ready};

    close(*(int *)arg); /* HTTP is served by the others */
    return monitor_run(cfg, &m, stop_fd);
}

int main(int argc, char **argv)
{
    char endpoint[BUS_ENDPOINT_SIZE];
    struct config cfg;
    int fd, status = EXIT_BAD_SETTING;

    config_load(&cfg, R_FRONTEND, PROGRAM, argc, argv);
    if (bus_endpoint(cfg.bus, 0, BUS_FRONTENDS, endpoint)) {
        fprintf(stderr,
                PROGRAM ": bus: '%s' is neither a folder with a short path nor tcp://HOST:PORT; "
                        "set --bus\n",
                cfg.bus);
    } else if (bus_key_use(PROGRAM, &cfg) == ERR_OK) {
        enum err e = listen_open(PROGRAM, cfg.listen, &fd);
        struct prefork p = {.role = "frontend", .child = child, .monitor = monitor, .arg = &fd};
        if (!e && cfg.auth == AUTH_OPEN && listen_is_public(fd))
            warn_open(fd);
        link_name_metrics();
        status = !e ? prefork_run(&cfg, &p) : e == ERR_INVALID ? EXIT_BAD_SETTING : 1;
        if (!e)
            close(fd);
    }
    config_free(&cfg);
    return status;
}
