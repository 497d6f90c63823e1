/* What an IP address leads to, for connections to places that others choose. */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <sys/socket.h>

/* In the order of trust: who may connect to one kind may connect to those before it. */
enum address_kind {
    ADDRESS_PUBLIC,  /* of the public internet */
    ADDRESS_PRIVATE, /* of this machine or its networks: loopback, private, shared (RFC 6598),
                        benchmarks, documentation, and what else is not global unicast */
    ADDRESS_SPECIAL /* no server's: link-local, services of clouds that tell credentials (metadata),
                       multicast, broadcast, "this network", forms that hide another address */
};

/* The kind of an IPv4 or IPv6 address; where IPv6 wraps an IPv4 address (mapped, NAT64, 6to4,
 * ISATAP), that of the inner one, if it is worse. Other families are ADDRESS_SPECIAL. */
enum address_kind address_kind(const struct sockaddr *a);

/* The kind of a numeric address; ADDRESS_SPECIAL where the text is none. */
enum address_kind address_kind_of_text(const char *text);

#endif
