/* Fuzz target: a text of YAML or JSON. What is read must be writable as YAML and read back equal,
 * and all its members must have lines. */
#include "common/buf.h"
#include "tests/fuzz/require.h"
#include "worker/web/yaml_in.h"
#include "worker/web/yaml_out.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_MAX 100 /* members looked for in each object or array */

static void look(const struct yaml_in *y, const json_t *value, struct text *path, size_t n)
{
    json_t *member;
    const char *name;
    size_t i, len, count = 0;
    char digits[24];

    require(n <= YAML_DEPTH_MAX);
    yaml_in_line(y, path, n);
    json_array_foreach (value, i, member) {
        if (i == LINES_MAX)
            break;
        path[n] = (struct text){digits, (size_t)snprintf(digits, sizeof digits, "%zu", i)};
        look(y, member, path, n + 1);
    }
    json_object_keylen_foreach((json_t *)(uintptr_t)value, name, len, member)
    {
        if (++count == LINES_MAX)
            break;
        path[n] = (struct text){name, len};
        look(y, member, path, n + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text path[YAML_DEPTH_MAX + 1];
    struct buf out = BUF_INIT(64 * YAML_TEXT_MAX);
    struct yaml_fault f;
    char *copy = malloc(size + !size); /* so that AddressSanitizer finds reads beyond its end */

    require(copy);
    memcpy(copy, data, size);
    struct yaml_in *y = yaml_in_read((struct text){copy, size}, &f);
    free(copy);
    require(y || *f.text);
    if (!y)
        return 0;
    json_t *value = yaml_in_value(y);
    look(y, value, path, 0);
    if (yaml_write(value, &out) == ERR_OK && out.len <= YAML_TEXT_MAX) {
        struct yaml_in *again = yaml_in_read((struct text){out.data, out.len}, &f);
        require(again);
        json_t *back = yaml_in_value(again);
        require(json_equal(value, back));
        json_decref(back);
        yaml_in_free(again);
    }
    json_decref(value);
    yaml_in_free(y);
    buf_free(&out);
    return 0;
}
