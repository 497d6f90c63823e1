#include "frontend/static_file.h"

#include "generated/STATIC_FILES.h"

/* The assembler copies the files: no tool has to turn them into C. */
#define TAKE(id, name, hash, path)                                                                 \
    __asm__(".section .rodata\n"                                                                   \
            ".global plain_" #id ", plain_" #id "_end, packed_" #id ", packed_" #id "_end\n"       \
            "plain_" #id ": .incbin \"" path "\"\n"                                                \
            "plain_" #id "_end:\n"                                                                 \
            "packed_" #id ": .incbin \"" GENERATED "/" name ".gz\"\n"                              \
            "packed_" #id "_end:\n"                                                                \
            ".previous\n");                                                                        \
    extern const char plain_##id[], plain_##id##_end[], packed_##id[], packed_##id##_end[];
STATIC_FILES(TAKE)

struct static_file {
    const char *name, *hash;
    const char *plain, *plain_end, *packed, *packed_end;
};

static const struct static_file files[] = {
#define ROW(id, name, hash, path)                                                                  \
    {name, hash, plain_##id, plain_##id##_end, packed_##id, packed_##id##_end},
    STATIC_FILES(ROW)};

static const struct {
    const char *end, *type;
} types[] = {{".css", "text/css; charset=utf-8"},
             {".js", "text/javascript; charset=utf-8"},
             {".svg", "image/svg+xml"}};

/* Whether a name is STEM.HASH.EXT of a file; the text between the dots. */
static bool take_hash(const char *own, struct text name, struct text *ret)
{
    const char *dot = strrchr(own, '.');
    size_t stem = (size_t)(dot - own) + 1, end = strlen(dot);

    if (name.len <= stem + end || memcmp(name.s, own, stem) != 0 ||
        memcmp(name.s + name.len - end, dot, end) != 0)
        return false;
    *ret = (struct text){name.s + stem, name.len - stem - end};
    return !memchr(ret->s, '.', ret->len);
}

const struct static_file *static_file_find(struct text name, bool *ret_current)
{
    struct text hash = {"", 0};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (text_is(name, files[i].name) || take_hash(files[i].name, name, &hash)) {
            *ret_current = text_is(hash, files[i].hash);
            return &files[i];
        }
    return NULL;
}

struct text static_file_body(const struct static_file *f, bool packed)
{
    const char *s = packed ? f->packed : f->plain, *end = packed ? f->packed_end : f->plain_end;

    return (struct text){s, (size_t)(end - s)};
}

const char *static_file_type(const struct static_file *f)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(strrchr(f->name, '.'), types[i].end) == 0)
            return types[i].type;
    return "application/octet-stream";
}
