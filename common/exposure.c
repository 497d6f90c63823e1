#include "common/exposure.h"

#include "common/address.h"
#include "common/bus.h"
#include "common/listen.h"

#include <stdio.h>
#include <sys/socket.h>

enum err exposure_check_listen(const struct config *cfg, int listen_fd,
                               char reason[EXPOSURE_REASON_SIZE])
{
    char address[LISTEN_TEXT_SIZE];

    if (cfg->auth != AUTH_OPEN || cfg->given.auth || !listen_is_public(listen_fd))
        return ERR_OK;
    listen_text(listen_fd, address);
    snprintf(
        reason, EXPOSURE_REASON_SIZE,
        "auth: other machines can reach %s, and without access control everyone may do "
        "everything: set --auth roles or login (docs/access-control.md), --auth "
        "open (or TESTFLINGER_AUTH=open) if that is intended, or --listen to a loopback address",
        address);
    return ERR_INVALID;
}

enum err exposure_check_bus(const struct config *cfg, char reason[EXPOSURE_REASON_SIZE])
{
    if (cfg->given.auth || !bus_is_remote(cfg->bus))
        return ERR_OK;
    snprintf(reason, EXPOSURE_REASON_SIZE,
             "auth: frontends of other machines use the bus %.200s: set the same access "
             "control here as there, --auth roles, login or open (or TESTFLINGER_AUTH)",
             cfg->bus);
    return ERR_INVALID;
}

bool exposure_is_inside(const struct config *cfg, int listen_fd)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;

    return getsockname(listen_fd, (struct sockaddr *)&a, &len) == 0 &&
           (a.ss_family == AF_UNIX ||
            address_kind((const struct sockaddr *)&a) == ADDRESS_PRIVATE) &&
           !bus_is_remote(cfg->bus);
}

bool exposure_bus_allowed(const char *program, const struct config *cfg)
{
    char reason[EXPOSURE_REASON_SIZE];

    if (exposure_check_bus(cfg, reason) == ERR_OK)
        return true;
    fprintf(stderr, "%s: %s\n", program, reason);
    return false;
}
