#include "worker/secrets/names.h"

#include "common/mem.h"

#include <stdio.h>
#include <string.h>

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool secret_path_valid(struct text path)
{
    char before = '/';

    for (size_t i = 0; i < path.len; before = path.s[i++])
        if (!is_word(path.s[i]) && (path.s[i] != '/' || before == '/'))
            return false;
    return path.len > 0 && path.len <= SECRET_PATH_MAX && before != '/';
}

char *secret_claimed_name(struct text job_id, struct text path)
{
    size_t size = job_id.len + path.len + sizeof ":";
    char *name = mem_alloc(size);

    snprintf(name, size, "%.*s:%.*s", (int)job_id.len, job_id.s, (int)path.len, path.s);
    return name;
}

struct text secret_path_of(struct text name)
{
    const char *colon = memchr(name.s, ':', name.len);

    return colon ? (struct text){colon + 1, (size_t)(name.s + name.len - colon - 1)} : name;
}

bool secret_collection(struct text client, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, SECRET_COLLECTIONS);

    for (size_t i = 0; i < client.len && used < size; i++) {
        char c = client.s[i], one[2] = {c, '\0'};
        const char *spelled = c == '@' ? "_at_" : c == '.' ? "_dot_" : c == '$' ? "_dollar_" : one;
        if (!c)
            return false;
        used += (size_t)snprintf(out + used, size - used, "%s", spelled);
    }
    return client.len > 0 && used < size;
}
