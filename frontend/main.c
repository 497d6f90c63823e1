#include "common/bus.h"
#include "common/config.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/prefork.h"
#include "frontend/http.h"

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
    } else {
        enum err e = listen_open(PROGRAM, cfg.listen, &fd);
        struct prefork p = {.role = "frontend", .child = child, .arg = &fd};
        if (!e && cfg.auth == AUTH_OPEN && listen_is_public(fd))
            warn_open(fd);
        status = !e ? prefork_run(&cfg, &p) : e == ERR_INVALID ? EXIT_BAD_SETTING : 1;
        if (!e)
            close(fd);
    }
    config_free(&cfg);
    return status;
}
