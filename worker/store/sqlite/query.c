/* Runs of prepared statements. */
#include "worker/store/sqlite/sqlite.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const texts[SQL_COUNT_] = {
#define SQL(name, text) [name] = text,
#include "worker/store/sqlite/statements.def"
#undef SQL
};

struct query query_new(struct sqlite *q, enum sql which)
{
    sqlite3_stmt **st = &q->statements[which];
    struct query r = {.q = q};

    if (!q->db && sqlite_file_check(q)) {
        r.code = SQLITE_CANTOPEN;
        return r;
    }
    if (!*st)
        r.code = sqlite3_prepare_v3(q->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
    r.st = *st;
    return r;
}

static void bound(struct query *r, int code)
{
    if (!r->code)
        r->code = code;
}

void query_int(struct query *r, int64_t value)
{
    bound(r, sqlite3_bind_int64(r->st, ++r->bound, value));
}

void query_text(struct query *r, struct text t)
{
    bound(r, sqlite3_bind_text64(r->st, ++r->bound, t.len ? t.s : "", t.len, SQLITE_STATIC,
                                 SQLITE_UTF8));
}

void query_int_or_null(struct query *r, int64_t value)
{
    if (value)
        query_int(r, value);
    else
        query_null(r);
}

void query_str(struct query *r, const char *s)
{
    if (s)
        query_text(r, (struct text){s, strlen(s)});
    else
        query_null(r);
}

void query_blob(struct query *r, struct text t)
{
    bound(r, sqlite3_bind_blob64(r->st, ++r->bound, t.len ? t.s : "", t.len, SQLITE_STATIC));
}

void query_null(struct query *r)
{
    bound(r, sqlite3_bind_null(r->st, ++r->bound));
}

void query_given(struct query *r, struct text t)
{
    if (t.s)
        query_text(r, t);
    else
        query_null(r);
}

enum err query_step(struct query *r)
{
    if (!r->code)
        r->code = sqlite3_step(r->st);
    if (r->code == SQLITE_ROW) {
        r->code = SQLITE_OK;
        return ERR_OK;
    }
    if (r->code == SQLITE_DONE)
        return ERR_NOT_FOUND;
    return sqlite_fault(r->q, r->code);
}

void query_end(struct query *r)
{
    if (!r->st)
        return;
    sqlite3_reset(r->st);
    sqlite3_clear_bindings(r->st); /* their memory may be gone at the next run */
}

enum err query_run(struct query *r)
{
    enum err e = query_step(r);

    query_end(r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err query_probe(struct query *r)
{
    enum err e = query_step(r);

    query_end(r);
    return e;
}

int query_changes(const struct query *r)
{
    return sqlite3_changes(r->q->db);
}

int64_t query_col_int(const struct query *r, int column)
{
    return sqlite3_column_int64(r->st, column);
}

struct text query_col_text(const struct query *r, int column)
{
    const void *s = sqlite3_column_blob(r->st, column); /* as it is stored: UTF-8 */
    struct text t = {s, (size_t)sqlite3_column_bytes(r->st, column)};

    if (!s && sqlite3_column_type(r->st, column) != SQLITE_NULL)
        t.s = ""; /* SQLite returns NULL for an empty value */
    return t;
}

char *query_col_dup(const struct query *r, int column)
{
    struct text t = query_col_text(r, column);

    return mem_strndup(t.s ? t.s : "", t.len);
}

void query_col_copy(const struct query *r, int column, char *out, size_t size)
{
    struct text t = query_col_text(r, column);

    snprintf(out, size, "%.*s", t.len < size ? (int)t.len : 0, t.s ? t.s : "");
}

const char *query_col_str(const struct query *r, int column)
{
    const unsigned char *s = sqlite3_column_text(r->st, column);

    return s ? (const char *)s : "";
}

char *query_col_given(const struct query *r, int column)
{
    struct text t = query_col_text(r, column);

    return t.s ? mem_strndup(t.s, t.len) : NULL;
}

json_t *query_col_json_text(const struct query *r, int column)
{
    struct text t = query_col_text(r, column);
    json_t *value = t.s ? json_stringn(t.s, t.len) : NULL;

    return value ? value : json_null();
}

json_t *query_col_json_int(const struct query *r, int column)
{
    return query_col_text(r, column).s ? json_integer(query_col_int(r, column)) : json_null();
}

json_t *query_col_json(const struct query *r, int column)
{
    struct text t = query_col_text(r, column);
    json_error_t error;
    json_t *value = json_loadb(t.s ? t.s : "", t.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);

    if (!value)
        log_error("cannot read a document in %s: %s; if the file was changed by hand, restore a "
                  "copy",
                  r->q->path, error.text);
    return value;
}

enum err sqlite_json(const json_t *value, char **ret, size_t *ret_len)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (!text) {
        log_error("cannot store a document: it is nested too deep; such a body should have "
                  "been refused");
        return ERR_INTERNAL;
    }
    size_t len = strlen(text);
    if (len > STORE_DOCUMENT_MAX) {
        free(text);
        return ERR_TOO_LARGE;
    }
    *ret = text;
    *ret_len = len;
    return ERR_OK;
}

enum err sqlite_json_hex(const json_t *strings, char **ret)
{
    json_t *list = json_array(), *text;
    size_t i, len;

    json_array_foreach (strings, i, text) {
        size_t bytes = json_string_length(text);
        char *hex = mem_alloc(2 * bytes + 1);
        hex_print(json_string_value(text), bytes, hex);
        json_array_append_new(list, json_string(hex));
        free(hex);
    }
    enum err e = sqlite_json(list, ret, &len);
    json_decref(list);
    return e;
}

bool sqlite_text_is(struct text a, struct text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.s, b.s, a.len) == 0);
}
