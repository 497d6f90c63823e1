/* Checks msgpack from the bus before it is decoded: the decoder allocates as many objects as a
 * message announces, so a few bytes could take all memory. */
#ifndef COMMON_PACKED_H
#define COMMON_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#define PACKED_OBJECTS_MAX 4096 /* an envelope has about 600 at most */

/* True when the bytes are exactly one object that lies within `len` and has at most
 * PACKED_OBJECTS_MAX objects in all. Allocates nothing; O(objects). */
bool packed_is_sound(const void *data, size_t len);

#endif
