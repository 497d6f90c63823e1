#include "worker/store/mongo/doc.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/encoding/bsonjson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

/* ---- making ---- */

struct form {
    const char *whole, *p;
    const struct doc_value *next;
    bool ok; /* false: a value cannot be BSON */
};

static _Noreturn void malformed(const struct form *f)
{
    log_error("malformed document text, or wrong number of values, at \"%.20s\" of \"%s\"; "
              "report it",
              f->p, f->whole);
    abort();
}

static char look(struct form *f)
{
    f->p += strspn(f->p, " ");
    return *f->p;
}

static bool skip(struct form *f, char c)
{
    if (look(f) != c)
        return false;
    f->p++;
    return true;
}

static void expect(struct form *f, char c)
{
    if (!skip(f, c))
        malformed(f);
}

static const struct doc_value *take(struct form *f)
{
    if (f->next->kind == V_END)
        malformed(f);
    return f->next++;
}

static void append_list(bson_t *to, struct text name, const struct doc_value *v)
{
    const char *const *strs = v->list.p;
    bson_t list;

    bson_append_array_begin(to, name.s, (int)name.len, &list);
    if (v->kind == V_TEXTS)
        for (size_t i = 0; i < v->list.n; i++)
            doc_put_at(&list, i, v_text(((const struct text *)v->list.p)[i]));
    else
        for (size_t i = 0; i < v->list.n && strs[i]; i++)
            doc_put_at(&list, i, v_str(strs[i]));
    bson_append_array_end(to, &list);
}

static bool append_field(bson_t *to, struct text name, const struct doc_value *v)
{
    bson_iter_t it;

    return doc_at(v->field.doc, v->field.path, &it)
               ? bson_append_iter(to, name.s, (int)name.len, &it)
               : bson_append_null(to, name.s, (int)name.len);
}

static bool append_own(bson_t *to, struct text name, const struct doc_value *v)
{
    bson_t *doc = (bson_t *)(uintptr_t)v->p;
    bool ok = doc && (v->kind == V_OWN ? bson_append_document
                                       : bson_append_array)(to, name.s, (int)name.len, doc);

    bson_destroy(doc);
    return ok;
}

static bool append_value(bson_t *to, struct text name, const struct doc_value *v)
{
    const char *s = name.s;
    int len = (int)name.len;

    switch (v->kind) {
    case V_TEXT:
        return bson_append_utf8(to, s, len, v->text.len ? v->text.s : "", (int)v->text.len);
    case V_INT:
        if (v->i >= INT32_MIN && v->i <= INT32_MAX)
            return bson_append_int32(to, s, len, (int32_t)v->i);
        return bson_append_int64(to, s, len, v->i);
    case V_INT64:
        return bson_append_int64(to, s, len, v->i);
    case V_BOOL:
        return bson_append_bool(to, s, len, v->i != 0);
    case V_DATE:
        return bson_append_date_time(to, s, len, v->i);
    case V_OID:
        return bson_append_oid(to, s, len, v->p);
    case V_STAMP:
        return bson_append_timestamp(to, s, len, 0, 0);
    case V_BYTES:
        return bson_append_binary(to, s, len, BSON_SUBTYPE_BINARY,
                                  (const uint8_t *)(v->text.len ? v->text.s : ""),
                                  (uint32_t)v->text.len);
    case V_DOC:
        return bson_append_document(to, s, len, v->p);
    case V_OWN:
    case V_OWN_ARRAY:
        return append_own(to, name, v);
    case V_ARRAY:
        return bson_append_array(to, s, len, v->p);
    case V_JSON:
        return bsonjson_append(to, s, name.len, v->p);
    case V_FIELD:
        return append_field(to, name, v);
    case V_TEXTS:
    case V_STRS:
        append_list(to, name, v);
        return true;
    case V_NONE:
    case V_END:
        break;
    }
    return true;
}

/* Appends all members of a value. */
static bool append_members(bson_t *to, const struct doc_value *v)
{
    bool ok = true;

    if (v->kind == V_JSON)
        return bsonjson_append_members(to, v->p);
    if (v->kind == V_DOC || v->kind == V_OWN)
        ok = v->p && bson_concat(to, v->p);
    if (v->kind == V_OWN)
        bson_destroy((bson_t *)(uintptr_t)v->p);
    return ok;
}

static void members(struct form *f, bson_t *to, char end, int depth);
static void elements(struct form *f, bson_t *to, int depth);

/* Reads a name, number or word, up to its delimiter. */
static struct text word(struct form *f)
{
    look(f);
    struct text w = {f->p, strcspn(f->p, " :,?{}[]'")};

    f->p += w.len;
    if (!w.len)
        malformed(f);
    return w;
}

static bool word_is(struct text w, const char *name)
{
    return w.len == strlen(name) && memcmp(w.s, name, w.len) == 0;
}

static void constant(struct form *f, bson_t *to, struct text name)
{
    struct text w = word(f);
    char *end;

    if (word_is(w, "true") || word_is(w, "false")) {
        bson_append_bool(to, name.s, (int)name.len, *w.s == 't');
    } else if (word_is(w, "null")) {
        bson_append_null(to, name.s, (int)name.len);
    } else {
        bson_append_int32(to, name.s, (int)name.len, (int32_t)strtol(w.s, &end, 10));
        if (end != w.s + w.len)
            malformed(f);
    }
}

/* Appends a value under this name; false: it is omitted. */
static bool value(struct form *f, bson_t *to, struct text name, int depth)
{
    char c = look(f);
    bson_t child;

    if (c == '?') {
        f->p++;
        const struct doc_value *v = take(f);
        f->ok = append_value(to, name, v) && f->ok;
        return v->kind != V_NONE;
    }
    if (depth >= DEPTH_MAX)
        malformed(f);
    if (skip(f, '{')) {
        bson_append_document_begin(to, name.s, (int)name.len, &child);
        members(f, &child, '}', depth + 1);
        bson_append_document_end(to, &child);
    } else if (skip(f, '[')) {
        bson_append_array_begin(to, name.s, (int)name.len, &child);
        elements(f, &child, depth + 1);
        bson_append_array_end(to, &child);
    } else if (skip(f, '\'')) {
        size_t len = strcspn(f->p, "'");
        bson_append_utf8(to, name.s, (int)name.len, f->p, (int)len);
        f->p += len;
        expect(f, '\'');
    } else {
        constant(f, to, name);
    }
    return true;
}

/* Reads members up to `end`, and skips that. */
static void members(struct form *f, bson_t *to, char end, int depth)
{
    bool more = look(f) != end;

    while (more) {
        struct text name;
        if (skip(f, '?')) {
            const struct doc_value *v = take(f);
            name = v->text;
            if (look(f) != ':') {
                f->ok = append_members(to, v) && f->ok;
                more = skip(f, ',');
                continue;
            }
        } else {
            name = word(f);
        }
        expect(f, ':');
        value(f, to, name, depth);
        more = skip(f, ',');
    }
    if (look(f) != end)
        malformed(f);
    f->p += end != '\0';
}

static void elements(struct form *f, bson_t *to, int depth)
{
    char text[16];
    bool more = look(f) != ']';

    for (uint32_t i = 0; more; more = skip(f, ',')) {
        struct text name = {NULL, 0};
        name.len = bson_uint32_to_string(i, &name.s, text, sizeof text);
        i += value(f, to, name, depth);
    }
    expect(f, ']');
}

bool doc_add_values(bson_t *to, const char *text, const struct doc_value *values)
{
    struct form f = {text, text, values, true};

    if (skip(&f, '[')) {
        elements(&f, to, 0);
        if (look(&f))
            malformed(&f);
    } else {
        members(&f, to, '\0', 0);
    }
    if (f.next->kind != V_END)
        malformed(&f);
    return f.ok;
}

bson_t *doc_of_values(const char *form, const struct doc_value *values)
{
    bson_t *doc = bson_new();

    if (doc_add_values(doc, form, values))
        return doc;
    bson_destroy(doc);
    return NULL;
}

bool doc_put(bson_t *to, const char *name, struct doc_value v)
{
    return append_value(to, (struct text){name, strlen(name)}, &v);
}

bool doc_put_at(bson_t *array, size_t index, struct doc_value v)
{
    struct text name;
    char text[16];

    name.len = bson_uint32_to_string((uint32_t)index, &name.s, text, sizeof text);
    return append_value(array, name, &v);
}

/* ---- reading ---- */

bool doc_at(const bson_t *doc, const char *path, bson_iter_t *ret)
{
    bson_iter_t it;

    return bson_iter_init(&it, doc) && bson_iter_find_descendant(&it, path, ret);
}

struct text doc_text(const bson_t *doc, const char *path)
{
    bson_iter_t it;
    uint32_t len;

    if (!doc_at(doc, path, &it) || !BSON_ITER_HOLDS_UTF8(&it))
        return (struct text){NULL, 0};
    const char *s = bson_iter_utf8(&it, &len);
    return (struct text){s, len};
}

const char *doc_str(const bson_t *doc, const char *path)
{
    return doc_text(doc, path).s;
}

char *doc_dup(const bson_t *doc, const char *path)
{
    struct text t = doc_text(doc, path);

    return mem_strndup(t.s ? t.s : "", t.len);
}

void doc_copy(const bson_t *doc, const char *path, char *out, size_t size)
{
    struct text t = doc_text(doc, path);

    *out = '\0';
    if (t.len < size)
        snprintf(out, size, "%.*s", (int)t.len, t.s ? t.s : "");
}

bool doc_text_is(const bson_t *doc, const char *path, const char *text)
{
    const char *s = doc_str(doc, path);

    return s && strcmp(s, text) == 0;
}

int64_t doc_int(const bson_t *doc, const char *path, int64_t otherwise)
{
    bson_iter_t it;

    return doc_at(doc, path, &it) && BSON_ITER_HOLDS_NUMBER(&it) ? bson_iter_as_int64(&it)
                                                                 : otherwise;
}

int64_t doc_date(const bson_t *doc, const char *path)
{
    bson_iter_t it;

    return doc_at(doc, path, &it) && BSON_ITER_HOLDS_DATE_TIME(&it) ? bson_iter_date_time(&it) : 0;
}

bool doc_bool(const bson_t *doc, const char *path)
{
    bson_iter_t it;

    return doc_at(doc, path, &it) && bson_iter_as_bool(&it);
}

struct text doc_bytes(const bson_t *doc, const char *path)
{
    bson_subtype_t type;
    const uint8_t *data;
    bson_iter_t it;
    uint32_t len;

    if (!doc_at(doc, path, &it) || !BSON_ITER_HOLDS_BINARY(&it))
        return (struct text){"", 0};
    bson_iter_binary(&it, &type, &len, &data);
    return (struct text){(const char *)data, len};
}

const bson_oid_t *doc_oid(const bson_t *doc, const char *path)
{
    bson_iter_t it;

    return doc_at(doc, path, &it) && BSON_ITER_HOLDS_OID(&it) ? bson_iter_oid(&it) : NULL;
}

bool doc_view(const bson_iter_t *it, bson_t *ret)
{
    const uint8_t *data;
    uint32_t len;

    if (!BSON_ITER_HOLDS_DOCUMENT(it))
        return false;
    bson_iter_document(it, &len, &data);
    return bson_init_static(ret, data, len);
}

bool doc_inner(const bson_t *doc, const char *path, bson_t *ret)
{
    bson_iter_t it;

    return doc_at(doc, path, &it) && doc_view(&it, ret);
}

bool doc_list(const bson_t *doc, const char *path, bson_iter_t *ret)
{
    bson_iter_t it;

    return doc_at(doc, path, &it) && BSON_ITER_HOLDS_ARRAY(&it) && bson_iter_recurse(&it, ret);
}

json_t *doc_json(const bson_t *doc, const char *path)
{
    bson_iter_t it;

    return doc_at(doc, path, &it) ? bsonjson_value(&it) : NULL;
}

json_t *doc_time(const bson_t *doc, const char *path)
{
    bson_iter_t it;

    if (doc_at(doc, path, &it) && BSON_ITER_HOLDS_DATE_TIME(&it))
        return json_integer(bson_iter_date_time(&it));
    return doc_json(doc, path);
}

json_t *doc_object(const bson_t *doc)
{
    json_t *object = json_object();
    bson_iter_t it;

    if (bson_iter_init(&it, doc))
        while (bson_iter_next(&it))
            if (strcmp(bson_iter_key(&it), "_id") != 0)
                json_object_set_new(object, bson_iter_key(&it), bsonjson_value(&it));
    return object;
}
