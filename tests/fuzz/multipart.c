/* Fuzz target: a line with the content type, then the body of an upload. The result must be the
 * same whether the body comes at once or in small blocks. */
#include "frontend/multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scan(struct multipart *m, const uint8_t *body, size_t size, size_t block)
{
    size_t want = block;
    bool more = true;

    while (more) {
        size_t left = size - (size_t)m->offset, n = left < want ? left : want;
        uint64_t before = m->offset;
        char *copy = malloc(n + !n); /* so that AddressSanitizer finds reads beyond its end */
        if (!copy)
            abort();
        memcpy(copy, body + m->offset, n);
        more = multipart_scan(m, copy, n, n == left);
        free(copy);
        if (m->offset < before || m->offset > before + n || (more && n == left))
            abort();
        want = m->offset == before ? want + block : block;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    struct multipart m, pieces;

    if (!line || !multipart_init(&m, (struct text){(const char *)data, (size_t)(line - data)}))
        return 0;
    pieces = m;
    const uint8_t *body = line + 1;
    size -= (size_t)(body - data);
    scan(&m, body, size, size + 1);
    scan(&pieces, body, size, 13);
    if (m.state < MULTIPART_DONE || m.state != pieces.state || m.found != pieces.found ||
        (m.found && (m.start != pieces.start || m.len != pieces.len || m.start + m.len > size)))
        abort();
    return 0;
}
