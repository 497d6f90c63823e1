#include "frontend/address.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const struct address *a)
{
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

static struct address from_v4(const void *bytes)
{
    struct address a;

    memcpy(a.bytes, mapped, sizeof mapped);
    memcpy(a.bytes + sizeof mapped, bytes, 4);
    return a;
}

struct address address_of(const struct sockaddr *peer)
{
    struct address a = {{0}};

    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof in);
        return from_v4(&in.sin_addr);
    }
    if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, peer, sizeof in6);
        memcpy(a.bytes, &in6.sin6_addr, sizeof a.bytes);
    }
    return a;
}

struct address address_of_fd(int fd)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        peer.ss_family = AF_UNSPEC;
    return address_of((struct sockaddr *)&peer);
}

bool address_parse(const char *text, size_t len, struct address *ret)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t v4[4];

    if (!len || len >= sizeof copy || memchr(text, '\0', len))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET, copy, v4) == 1) {
        *ret = from_v4(v4);
        return true;
    }
    return inet_pton(AF_INET6, copy, ret->bytes) == 1;
}

void address_text(const struct address *a, char out[INET6_ADDRSTRLEN])
{
    static const struct address none;

    *out = '\0';
    if (is_v4(a))
        inet_ntop(AF_INET, a->bytes + sizeof mapped, out, INET6_ADDRSTRLEN);
    else if (memcmp(a, &none, sizeof none) != 0)
        inet_ntop(AF_INET6, a->bytes, out, INET6_ADDRSTRLEN);
}

struct address_key address_key(const struct address *a)
{
    struct address_key key = {{0}};

    memcpy(key.bytes, a->bytes, is_v4(a) ? 16 : 8);
    return key;
}

struct address_key address_key_of(const struct sockaddr *peer)
{
    const struct address a = address_of(peer);

    return address_key(&a);
}

struct address_key address_key_of_fd(int fd)
{
    const struct address a = address_of_fd(fd);

    return address_key(&a);
}
