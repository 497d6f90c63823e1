/* Random numbers of the kernel, and ids made of them. */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#define UUID_TEXT_SIZE 37 /* with its NUL */

/* Fills `out`, at most 256 bytes, from getrandom(); ends the process when that fails. */
void random_fill(void *out, size_t len);

/* A new random UUID (RFC 9562, version 4); as text in lower case. One call of the system; libuuid's
 * own makes five and seeds random(3) each time, a twentieth of a frontend's work. */
void random_uuid(uint8_t out[16]);
void random_uuid_text(char out[UUID_TEXT_SIZE]);

/* A UUID as text in lower case. */
void uuid_print(const uint8_t id[16], char out[UUID_TEXT_SIZE]);

#endif
