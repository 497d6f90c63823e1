#include "common/random.h"

#include "common/log.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_fill(void *out, size_t len)
{
    if (getrandom(out, len, 0) == (ssize_t)len)
        return;
    log_error("the system gives no random numbers (getrandom); nothing can be signed, hashed or "
              "named: the kernel must allow this call");
    abort();
}

void random_uuid(uint8_t out[16])
{
    random_fill(out, 16);
    out[6] = (uint8_t)((out[6] & 0x0f) | 0x40); /* version 4 */
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80); /* the variant of the RFC */
}

void random_uuid_text(char out[UUID_TEXT_SIZE])
{
    uint8_t id[16];

    random_uuid(id);
    uuid_print(id, out);
}

void uuid_print(const uint8_t id[16], char out[UUID_TEXT_SIZE])
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};

    for (size_t i = 0; i < sizeof groups; i++) {
        hex_print(id, groups[i], out);
        id += groups[i];
        out += 2 * groups[i];
        if (i + 1 < sizeof groups)
            *out++ = '-';
    }
}
