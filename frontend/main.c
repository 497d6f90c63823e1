#include "common/api.h"
#include "common/bus.h"
#include "common/bus_folder.h"
#include "common/bus_key.h"
#include "common/config.h"
#include "common/exposure.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/monitor.h"
#include "common/prefork.h"
#include "common/privileges.h"
#include "frontend/http.h"
#include "frontend/link.h"
#include "frontend/proxies.h"
#include "frontend/shut.h"
#include "frontend/spool.h"
#include "frontend/tls.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define PROGRAM "testflinger-frontend"

static int child(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    return http_run(cfg, slot, arg, stop_fd);
}

/* Whether the settings allow to serve on this socket; false: the reason is on stderr. */
static bool may_serve(const struct config *cfg, int fd)
{
    char reason[EXPOSURE_REASON_SIZE], address[LISTEN_TEXT_SIZE];

    if (exposure_check_listen(cfg, fd, reason)) {
        fprintf(stderr, PROGRAM ": %s\n", reason);
        return false;
    }
    listen_text(fd, address);
    if (cfg->auth == AUTH_OPEN && listen_is_public(fd))
        log_warn("access control is off and other machines can reach %s: everyone there may do "
                 "everything",
                 address);
    return true;
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

    close(((struct http_setup *)arg)->listen_fd); /* HTTP is served by the others */
    return monitor_run(cfg, &m, stop_fd);
}

/* Whether connections wait to be accepted. */
static bool waits(void *arg)
{
    struct pollfd fd = {((struct http_setup *)arg)->listen_fd, POLLIN, 0};

    return poll(&fd, 1, 0) == 1 && fd.revents & POLLIN;
}

/* HUP: reads the certificate again. Running children keep theirs. */
static void reload(const struct config *cfg, void *arg)
{
    struct http_setup *setup = arg;
    struct tls *tls;

    if (tls_load(cfg, &tls)) {
        log_error("keeping the certificate in use; correct the files, then send HUP again");
        return;
    }
    tls_free(setup->tls);
    setup->tls = tls;
}

/* Runs the master on the listening socket, which it takes. */
static int serve(struct config *cfg, int fd)
{
    struct http_setup setup = {.listen_fd = fd};
    struct prefork p = {.role = "frontend",
                        .child = child,
                        .monitor = monitor,
                        .arg = &setup,
                        .reload = reload,
                        .retire = true,
                        .beats = true,
                        .waits = waits};
    int status = EXIT_BAD_SETTING;

    /* Read the key before dropping root: only root may be able to. */
    if (may_serve(cfg, fd) && proxies_load(PROGRAM, cfg, &setup.proxies) == ERR_OK &&
        tls_load(cfg, &setup.tls) == ERR_OK && privileges_drop(PROGRAM, cfg) == ERR_OK &&
        bus_folder_allowed(PROGRAM, cfg)) {
        link_name_metrics();
        shut_name_metrics();
        spool_share(cfg);
        status = prefork_run(cfg, &p);
    }
    tls_free(setup.tls);
    close(fd);
    return status;
}

int main(int argc, char **argv)
{
    struct config cfg;
    int fd, status = EXIT_BAD_SETTING;

    config_load(&cfg, R_FRONTEND, PROGRAM, argc, argv);
    if (!cfg.web)
        routes_hide_web();
    if (bus_setting_ok(PROGRAM, &cfg) && bus_key_use(PROGRAM, &cfg, BUS_KEY_FRONTEND) == ERR_OK) {
        enum err e = listen_open(PROGRAM, cfg.listen, &fd);
        status = !e ? serve(&cfg, fd) : e == ERR_INVALID ? EXIT_BAD_SETTING : 1;
    }
    config_free(&cfg);
    return status;
}
