#include "worker/web/render.h"

#include "worker/web/embed.h"

#include "generated/TEMPLATES.h"

#include <string.h>

#define TAKE(id, name, hash, path) EMBED(template_##id, path)
TEMPLATES(TAKE)

static const struct {
    const char *file, *begin, *end;
} templates[] = {
#define ROW(id, name, hash, path) {name, template_##id, template_##id##_end},
    TEMPLATES(ROW)};

const char *template_text(const char *name, size_t *ret_len)
{
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        const char *dot = strchr(templates[i].file, '.');
        size_t len = (size_t)(dot - templates[i].file);
        if (strlen(name) != len || memcmp(name, templates[i].file, len) != 0)
            continue;
        *ret_len = (size_t)(templates[i].end - templates[i].begin);
        return templates[i].begin;
    }
    return NULL;
}

const char *templates_hash(void)
{
#define HASH(id, name, hash, path) hash
    return TEMPLATES(HASH);
}
