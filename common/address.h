/* Classifies IP addresses, for connections to destinations that clients choose. */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <sys/socket.h>

/* In the order of trust: a caller that may connect to one kind may connect to those before it. */
enum address_kind {
    ADDRESS_PUBLIC,  /* of the public internet */
    ADDRESS_PRIVATE, /* of this machine or its networks: loopback, private, shared (RFC 6598),
                        benchmarks, documentation, and what else is not global unicast */
    ADDRESS_SPECIAL /* no server's: link-local, services of clouds that tell credentials (metadata),
                       multicast, broadcast, "this network", forms that hide another address */
};

/* The kind of an IPv4 or IPv6 address. An IPv6 address that wraps an IPv4 one (mapped, NAT64, 6to4,
 * ISATAP) gets the worse of both kinds. Other families are ADDRESS_SPECIAL. */
enum address_kind address_kind(const struct sockaddr *a);

/* The kind of a numeric address; ADDRESS_SPECIAL for any other text. */
enum address_kind address_kind_of_text(const char *text);

#endif
