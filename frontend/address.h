/* Addresses of clients. */
#ifndef FRONTEND_ADDRESS_H
#define FRONTEND_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4 as ::ffff:A.B.C.D. Compare with memcmp. All zeros: none, as for a Unix socket. */
struct address {
    uint8_t bytes[16];
};

/* The client of a limit by address: an IPv4 address, or the /64 network of an IPv6 address, which a
 * client controls as a whole, followed by zeros. */
struct address_key {
    uint8_t bytes[16];
};

struct address address_of(const struct sockaddr *peer);
/* The peer of a connected socket. */
struct address address_of_fd(int fd);
/* Parses an IPv4 or IPv6 address without brackets or port; false: another text. */
bool address_parse(const char *text, size_t len, struct address *ret);
/* "" for none. */
void address_text(const struct address *a, char out[INET6_ADDRSTRLEN]);

struct address_key address_key(const struct address *a);
/* The key of a peer; all zeros if it is neither IPv4 nor IPv6. */
struct address_key address_key_of(const struct sockaddr *peer);
struct address_key address_key_of_fd(int fd);

#endif
