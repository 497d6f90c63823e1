/* Addresses that receivers chosen by others must not have. */
#ifndef WORKER_WEBHOOK_ADDRESS_H
#define WORKER_WEBHOOK_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Whether an IPv4 or IPv6 address is one of the public internet: not private, loopback,
 * link-local, shared (RFC 6598), multicast or reserved; also where IPv6 only wraps such an IPv4
 * address. Other families are not. */
bool address_is_public(const struct sockaddr *a);

#endif
