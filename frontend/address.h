/* Who a client is for limits by address: one IPv4 address, or the /64 network that an IPv6 client
 * controls as a whole. */
#ifndef FRONTEND_ADDRESS_H
#define FRONTEND_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4 as ::ffff:A.B.C.D; of IPv6 the first half, then zeros. Compare with memcmp. */
struct address_key {
    uint8_t bytes[16];
};

/* The key of a peer; all zeros where it is neither IPv4 nor IPv6 (a local socket). */
struct address_key address_key_of(const struct sockaddr *peer);

/* The same for the other end of a connected socket. */
struct address_key address_key_of_fd(int fd);

/* The address of the other end, "" for a local socket. */
void address_text_of_fd(int fd, char out[INET6_ADDRSTRLEN]);

#endif
