#include "common/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a number at the start of *s and moves *s behind it and one space. */
static bool take_number(const char **s, int64_t *ret)
{
    char *end;

    errno = 0;
    long long n = strtoll(*s, &end, 10);
    if (errno || end == *s || (*end && *end != ' '))
        return false;
    *ret = n;
    *s = *end ? end + 1 : end;
    return true;
}

void file_info_print(const struct file_info *f, char out[FILE_INFO_SIZE])
{
    snprintf(out, FILE_INFO_SIZE, "%s %" PRId64 " %" PRId64 " %" PRId64 " %s", f->id, f->length,
             f->chunk, f->date_ms, f->name);
}

bool file_info_parse(struct text t, struct file_info *ret)
{
    char copy[FILE_INFO_SIZE];
    const size_t id_len = FILE_ID_SIZE - 1;
    struct file_info f;

    if (t.len >= sizeof copy || t.len <= id_len || t.s[id_len] != ' ')
        return false;
    memcpy(copy, t.s, t.len);
    copy[t.len] = '\0';
    copy[id_len] = '\0';
    if (strspn(copy, "0123456789abcdef") != id_len)
        return false;
    memcpy(f.id, copy, FILE_ID_SIZE);
    const char *rest = copy + FILE_ID_SIZE;
    if (!take_number(&rest, &f.length) || !take_number(&rest, &f.chunk) ||
        !take_number(&rest, &f.date_ms))
        return false;
    size_t name_len = strlen(rest);
    if (f.length < 0 || f.chunk <= 0 || name_len >= sizeof f.name)
        return false;
    memcpy(f.name, rest, name_len + 1);
    *ret = f;
    return true;
}

void file_facts_print(int64_t facts, char out[FILE_FACTS_SIZE])
{
    char text[FILE_FACTS_SIZE + 1];

    snprintf(text, sizeof text, "%*" PRId64, FILE_FACTS_SIZE, facts);
    memcpy(out, text, FILE_FACTS_SIZE);
}

bool file_facts_parse(struct text t, int64_t *ret)
{
    char copy[FILE_FACTS_SIZE + 1];
    const char *s = copy;

    if (t.len != FILE_FACTS_SIZE)
        return false;
    memcpy(copy, t.s, t.len);
    copy[t.len] = '\0';
    return take_number(&s, ret) && !*s;
}

bool file_number_parse(struct text t, int64_t *ret)
{
    char copy[24];
    const char *s = copy;
    int64_t n;

    if (!t.s || t.len == 0 || t.len >= sizeof copy)
        return false;
    memcpy(copy, t.s, t.len);
    copy[t.len] = '\0';
    if (!take_number(&s, &n) || *s || n < 0)
        return false;
    *ret = n;
    return true;
}

struct text file_param(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->query_len; i++)
        if (r->query[i].name.len == strlen(name) &&
            memcmp(r->query[i].name.s, name, r->query[i].name.len) == 0)
            return r->query[i].value;
    return (struct text){0};
}
