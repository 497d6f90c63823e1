/* The places of connections: how many there may be, in all and of one address.
 *
 * Above --max-connections a new connection displaces another: the one idle longest, else the one
 * with the oldest partial head, else those of the address that has most. An address may have
 * --max-connections-per-address ordinary connections and as many long ones (polls, downloads). */
#ifndef FRONTEND_PLACE_H
#define FRONTEND_PLACE_H

#include "frontend/server.h"

/* Fills in how many places there are: no more than descriptors allow. */
void place_open(struct server *s, size_t descriptors);

/* Counts a connection for an address, instead of the one for which it counted. False: the address
 * has no place left; the connection counts nevertheless. */
bool place_take(struct conn *c, const struct address_key *key);

/* The connection is about to be freed. */
void place_leave(struct conn *c);

/* Whether the connection serves something long. Without a place among these of its address, it
 * stays an ordinary one. */
void place_lasts(struct conn *c, bool lasts);

/* A new connection has come: makes room for the next one. False: it cannot stay itself. */
bool place_make_room(struct conn *c);

#endif
