/* testflinger-server: the whole server on this machine, one command. */
#include "common/bus.h"
#include "common/bus_folder.h"
#include "common/config.h"
#include "common/exposure.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/privileges.h"
#include "common/reason.h"
#include "deploy/launcher/folders.h"
#include "deploy/launcher/plan.h"
#include "deploy/launcher/probe.h"
#include "deploy/launcher/spawn.h"
#include "deploy/launcher/supervise.h"
#include "worker/secrets/master_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "testflinger-server"

struct launcher {
    struct config cfg;
    char folder[FOLDERS_PATH_SIZE]; /* of the binaries */
    struct bus_folder bus;
    int listen_fd; /* -1: no frontend here */
    struct probe probe;
    char reason[PLAN_REASON_SIZE]; /* why the server cannot start; "": already on stderr */
};

/* Finds the folder of the program's own file, and in it the binaries of the roles. */
static enum err find_binaries(struct launcher *l)
{
    ssize_t n = readlink("/proc/self/exe", l->folder, sizeof l->folder - 1);
    char path[FOLDERS_PATH_SIZE];

    if (n <= 0) {
        snprintf(l->reason, sizeof l->reason, "cannot read /proc/self/exe: %s", strerror(errno));
        return ERR_INVALID;
    }
    l->folder[n] = '\0';
    *strrchr(l->folder, '/') = '\0';
    for (int i = 0; i < PLAN_ROLES; i++) {
        if (plan_count(&l->cfg, (enum plan_role_id)i) == 0 ||
            (spawn_path(l->folder, (enum plan_role_id)i, path, sizeof path) == ERR_OK &&
             access(path, X_OK) == 0))
            continue;
        snprintf(l->reason, sizeof l->reason,
                 "%s: there is no %s in %.200s; with --%s 0 the server runs without it",
                 plan_roles[i].setting, plan_roles[i].binary, l->folder, plan_roles[i].setting);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* Makes the folder of an embedded store and fixes the store's URI, which workers inherit. */
static enum err prepare_store(struct launcher *l, char *uri)
{
    const char *file = plan_sqlite_path(uri);

    free(l->cfg.store);
    l->cfg.store = uri;
    if (!file || (l->cfg.workers == 0 && l->cfg.webhooks == 0))
        return ERR_OK;
    return folders_for_file(file, l->reason);
}

/* Makes the bus, or checks the one that is given. */
static enum err prepare_bus(struct launcher *l)
{
    if (*l->cfg.bus)
        return strstr(l->cfg.bus, "://") ? ERR_OK : bus_folder_check(l->cfg.bus, l->reason);
    enum err e = bus_folder_make(&l->bus, l->reason);
    if (e == ERR_OK) {
        free(l->cfg.bus);
        l->cfg.bus = mem_strdup(l->bus.path);
    }
    return e;
}

/* Listens for the frontends. A passed socket or a missing host replaces the setting by the real
 * address: the ready line prints it. */
static enum err prepare_listen(struct launcher *l)
{
    char text[LISTEN_TEXT_SIZE];
    bool is_passed = getenv("LISTEN_FDS");

    if (l->cfg.frontends == 0)
        return ERR_OK;
    enum err e = listen_open(PROGRAM, l->cfg.listen, &l->listen_fd);
    if (e) {
        *l->reason = '\0'; /* already on stderr */
        return e;
    }
    e = exposure_check_listen(&l->cfg, l->listen_fd, l->reason);
    if (e)
        return e;
    if (l->cfg.webhook_private == WEBHOOK_PRIVATE_AUTO && l->cfg.auth == AUTH_OPEN &&
        exposure_is_inside(&l->cfg, l->listen_fd))
        l->cfg.webhook_private = WEBHOOK_PRIVATE_ALLOW;
    if (is_passed || *l->cfg.listen == ':') {
        listen_text(l->listen_fd, text);
        free(l->cfg.listen);
        l->cfg.listen = mem_strdup(text);
    }
    probe_init(&l->probe, l->listen_fd, *l->cfg.tls_cert, l->cfg.proxy_protocol);
    return ERR_OK;
}

/* Refuses keys of secrets that cannot be loaded, once for all processes. Values pass through each
 * of them. */
static enum err prepare_secrets(const struct config *cfg)
{
    char *uri = NULL;
    enum err e = config_store_uri(cfg, &uri);

    if (!e && !master_keys_check(cfg, uri))
        e = ERR_INVALID;
    if (!e && master_keys_exist(cfg, uri))
        privileges_hide_memory();
    free(uri);
    return e;
}

/* Makes every check that needs no process. */
static enum err prepare(struct launcher *l)
{
    char *uri;
    enum err e = config_store_uri(&l->cfg, &uri);

    if (e) {
        *l->reason = '\0'; /* already on stderr */
        return e;
    }
    e = plan_check(&l->cfg, uri, l->reason);
    if (e == ERR_OK)
        e = find_binaries(l);
    if (e == ERR_OK)
        e = prepare_listen(l);
    /* Drop root before folders are made: the user of the setting must own them. */
    if (e == ERR_OK && privileges_drop(PROGRAM, &l->cfg)) {
        *l->reason = '\0'; /* already on stderr */
        e = ERR_INVALID;
    }
    if (e) {
        free(uri);
        return e;
    }
    e = prepare_store(l, uri);
    if (!e && prepare_secrets(&l->cfg)) {
        *l->reason = '\0'; /* already in the log */
        e = ERR_INVALID;
    }
    return e ? e : prepare_bus(l);
}

/* Opens descriptors 0 to 2 where they are closed, so that no other file gets their numbers. */
static void fill_standard_files(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static struct launcher l = {.bus = {.fd = -1}, .listen_fd = -1};
    int status;

    fill_standard_files();
    config_load(&l.cfg, R_SERVER, PROGRAM, argc, argv);
    enum err e = prepare(&l);
    if (e) {
        if (*l.reason)
            fprintf(stderr, PROGRAM ": %s\n", l.reason);
        status = e == ERR_UNAVAILABLE ? 1 : EXIT_BAD_SETTING;
    } else {
        log_info("starting: brokers %lld, workers %lld, webhooks %lld, frontends %lld; bus %s",
                 (long long)l.cfg.brokers, (long long)l.cfg.workers, (long long)l.cfg.webhooks,
                 (long long)l.cfg.frontends, l.cfg.bus);
        if (l.cfg.frontends == 0)
            log_info("no frontend is started here: the server is reached through others");
        reason_share();
        status = supervise(&l.cfg, l.folder, l.listen_fd, l.listen_fd >= 0 ? &l.probe : NULL);
        if (status == EXIT_BAD_SETTING)
            log_error("ended: %s", *reason_text() ? reason_text() : "see the lines above");
        bus_folder_remove(&l.bus);
    }
    config_free(&l.cfg);
    return status;
}
