/* A look at msgpack from the bus before it is decoded: the decoder allocates as many objects as a
 * message says that it holds, so what it says is checked first. */
#ifndef COMMON_PACKED_H
#define COMMON_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#define PACKED_OBJECTS_MAX 4096 /* an envelope has up to about 600 */

/* True when the bytes are exactly one object, with all that it holds inside of `len` and at most
 * PACKED_OBJECTS_MAX objects in all. Allocates nothing; takes a step an object. */
bool packed_is_sound(const void *data, size_t len);

#endif
