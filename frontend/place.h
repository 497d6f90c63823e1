/* The limits of connections, in all and by address.
 *
 * Above --max-connections a new connection displaces another: the one idle longest, else the one
 * with the oldest partial head, else those of the address that has most. An address may have
 * --max-connections-per-address ordinary connections and as many long ones (polls, downloads). */
#ifndef FRONTEND_PLACE_H
#define FRONTEND_PLACE_H

#include "frontend/server.h"

/* Sets the limits, as far as descriptors allow. */
void place_open(struct server *s, size_t descriptors);

/* Counts a connection for an address instead of its former one. False: the address is at its limit;
 * the connection counts nevertheless. */
bool place_take(struct conn *c, const struct address_key *key);

/* Call it before the connection is freed. */
void place_leave(struct conn *c);

/* Marks a connection as long or not. Without a free long place of its address, it stays ordinary.
 */
void place_lasts(struct conn *c, bool lasts);

/* A new connection has come: closes one if the limit is reached. False: close the new one. */
bool place_make_room(struct conn *c);

#endif
