#include "frontend/address.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct address_key address_key_of(const struct sockaddr *peer)
{
    struct address_key key = {{0}};

    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof in);
        memcpy(key.bytes, mapped, sizeof mapped);
        memcpy(key.bytes + sizeof mapped, &in.sin_addr, 4);
    } else if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, peer, sizeof in6);
        bool v4 = memcmp(&in6.sin6_addr, mapped, sizeof mapped) == 0;
        memcpy(key.bytes, &in6.sin6_addr, v4 ? 16 : 8);
    }
    return key;
}

struct address_key address_key_of_fd(int fd)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        peer.ss_family = AF_UNSPEC;
    return address_key_of((struct sockaddr *)&peer);
}

void address_text_of_fd(int fd, char out[INET6_ADDRSTRLEN])
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&peer;
    socklen_t len = sizeof peer;
    const void *address = &((struct sockaddr_in *)&peer)->sin_addr;

    *out = '\0';
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return;
    if (peer.ss_family == AF_INET6) {
        address = &in6->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
            address = &in6->sin6_addr.s6_addr[12];
            peer.ss_family = AF_INET;
        }
    }
    if (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)
        inet_ntop(peer.ss_family, address, out, INET6_ADDRSTRLEN);
}
