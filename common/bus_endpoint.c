/* Not in bus.c: the launcher checks the setting without loading ZeroMQ. */
#include "common/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define TCP "tcp://"

enum err bus_split(const char *bus, char *host, size_t size, unsigned *port)
{
    if (strncmp(bus, TCP, strlen(TCP)) != 0)
        return ERR_INVALID;
    const char *start = bus + strlen(TCP), *colon = strrchr(start, ':');
    char *end;

    if (!colon || colon == start || (size_t)(colon - start) >= size)
        return ERR_INVALID;
    unsigned long n = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || n == 0 || n > 65535 - 2 * BROKERS_MAX)
        return ERR_INVALID;
    memcpy(host, start, (size_t)(colon - start));
    host[colon - start] = '\0';
    *port = (unsigned)n;
    return ERR_OK;
}

enum err bus_endpoint(const char *bus, unsigned broker, enum bus_side side,
                      char out[BUS_ENDPOINT_SIZE])
{
    const char *name = side == BUS_FRONTENDS ? "frontends" : "workers";
    char host[BUS_ENDPOINT_SIZE / 2];
    unsigned port;
    int n;

    if (!*bus || broker >= BROKERS_MAX)
        return ERR_INVALID;
    if (strncmp(bus, TCP, strlen(TCP)) == 0) {
        if (bus_split(bus, host, sizeof host, &port))
            return ERR_INVALID;
        n = snprintf(out, BUS_ENDPOINT_SIZE, "tcp://%s:%u", host, port + 2 * broker + side);
        return n < BUS_ENDPOINT_SIZE ? ERR_OK : ERR_INVALID;
    }
    if (strstr(bus, "://"))
        return ERR_INVALID;
    n = snprintf(out, BUS_ENDPOINT_SIZE, "ipc://%s/broker-%u.%s", bus, broker, name);
    /* The path must fit into a socket address, with its NUL. */
    return n < (int)(strlen("ipc://") + sizeof((struct sockaddr_un *)0)->sun_path) ? ERR_OK
                                                                                   : ERR_INVALID;
}

bool bus_setting_ok(const char *program, const struct config *cfg)
{
    char endpoint[BUS_ENDPOINT_SIZE];

    if (bus_endpoint(cfg->bus, 0, BUS_FRONTENDS, endpoint) == ERR_OK)
        return true;
    fprintf(stderr,
            "%s: bus: '%s' is neither a folder with a short path nor tcp://HOST:PORT; set --bus\n",
            program, cfg->bus);
    return false;
}

bool bus_is_remote(const char *bus)
{
    char host[BUS_ENDPOINT_SIZE / 2];
    unsigned port;

    if (bus_split(bus, host, sizeof host, &port))
        return false;
    return strncmp(host, "127.", 4) != 0 && strcmp(host, "localhost") != 0 &&
           strcmp(host, "[::1]") != 0;
}
