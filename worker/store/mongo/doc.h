/* Documents of BSON, made of a text that reads as in mongosh, and read field by field:
 *
 *     bson_t *filter = doc_of("state: 'waiting', lease: {$lt: ?}, owner: {$in: ?}",
 *                             v_date(now_ms), v_texts(owners, n));
 *
 * The text holds the members of a document, or an array in brackets ("[{$set: {x: ?}}]", an update
 * pipeline). Words are true, false, null, numbers (int32) and 'texts' without a quote in them. Each
 * `?` takes the next value: of a member (`at: ?`), of an array ([?, ?]), as the name of a member
 * (`?: 1`), or, in a document without a name, all members of v_doc(), v_own() or v_json(). A text
 * that is malformed, or does not fit the number of values, ends the process: the conformance tests
 * run each of them. */
#ifndef WORKER_STORE_MONGO_DOC_H
#define WORKER_STORE_MONGO_DOC_H

#include "common/envelope.h"

#include <bson/bson.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* ---- values; what they point to lives until the call ends ---- */

struct doc_value {
    enum {
        V_END,
        V_NONE,
        V_TEXT,
        V_INT,
        V_INT64,
        V_BOOL,
        V_DATE,
        V_OID,
        V_STAMP,
        V_BYTES,
        V_DOC,
        V_OWN,
        V_ARRAY,
        V_OWN_ARRAY,
        V_JSON,
        V_FIELD,
        V_TEXTS,
        V_STRS
    } kind;
    union {
        struct text text;
        int64_t i;
        const void *p;
        struct {
            const void *p;
            size_t n;
        } list;
        struct {
            const bson_t *doc;
            const char *path;
        } field;
    };
};

#define V_MAKE(name, params, ...)                                                                  \
    static inline struct doc_value name params {                                                   \
        return (struct doc_value){__VA_ARGS__};                                                    \
    }
V_MAKE(v_none, (void), .kind = V_NONE) /* the member is left out */
V_MAKE(v_text, (struct text t), .kind = V_TEXT, .text = t)
V_MAKE(v_given, (struct text t), .kind = t.s ? V_TEXT : V_NONE, .text = t)
V_MAKE(v_str, (const char *s), .kind = V_TEXT, .text = {s, strlen(s)})
V_MAKE(v_int, (int64_t i), .kind = V_INT, .i = i) /* int32 where it fits, else int64 */
V_MAKE(v_int64, (int64_t i), .kind = V_INT64, .i = i)
V_MAKE(v_bool, (bool b), .kind = V_BOOL, .i = b)
V_MAKE(v_date, (int64_t ms), .kind = V_DATE, .i = ms)
V_MAKE(v_oid, (const bson_oid_t *id), .kind = V_OID, .p = id)
/* A time that the server sets when it inserts the document: later than in all it has. Not in a
 * document inside. */
V_MAKE(v_stamp, (void), .kind = V_STAMP)
V_MAKE(v_bytes, (struct text t), .kind = V_BYTES, .text = t)
V_MAKE(v_doc, (const bson_t *doc), .kind = V_DOC, .p = doc)
V_MAKE(v_own, (bson_t * doc), .kind = V_OWN, .p = doc) /* destroyed by the call */
V_MAKE(v_array, (const bson_t *array), .kind = V_ARRAY, .p = array)
V_MAKE(v_own_array, (bson_t * array), .kind = V_OWN_ARRAY, .p = array)
V_MAKE(v_json, (const json_t *json), .kind = V_JSON, .p = json)
/* The value at a path of a document; null if missing. In a filter it matches what was read. */
V_MAKE(v_field, (const bson_t *doc, const char *path), .kind = V_FIELD, .field = {doc, path})
/* Arrays: of n texts; of n strings, or of those before a NULL. */
V_MAKE(v_texts, (const struct text *t, size_t n), .kind = V_TEXTS, .list = {t, n})
V_MAKE(v_strs, (const char *const *s, size_t n), .kind = V_STRS, .list = {s, n})
#undef V_MAKE

/* ---- making ---- */

/* doc_of(text, values...): a new document, NULL when a JSON value cannot be BSON (too deep, a NUL
 * in a name) or a v_own() is NULL; the commands of db.h turn that into ERR_INTERNAL (logged).
 * doc_add(to, text, values...): appends members to a document; false likewise. */
#define doc_of(...)             DOC_OF_(__VA_ARGS__, {.kind = V_END})
#define doc_add(to, ...)        DOC_ADD_(to, __VA_ARGS__, {.kind = V_END})
#define DOC_OF_(form, ...)      doc_of_values(form, (const struct doc_value[]){__VA_ARGS__})
#define DOC_ADD_(to, form, ...) doc_add_values(to, form, (const struct doc_value[]){__VA_ARGS__})
bson_t *doc_of_values(const char *form, const struct doc_value *values);
bool doc_add_values(bson_t *to, const char *form, const struct doc_value *values);

/* Appends a value to a document, or with a position to an array. */
bool doc_put(bson_t *to, const char *name, struct doc_value v);
bool doc_put_at(bson_t *array, size_t index, struct doc_value v);

/* ---- reading: dotted paths ---- */

/* The field at a path; false: missing. */
bool doc_at(const bson_t *doc, const char *path, bson_iter_t *ret);
/* A string that points into the document; NULL: missing or not a string. Likewise the text. */
const char *doc_str(const bson_t *doc, const char *path);
struct text doc_text(const bson_t *doc, const char *path);
char *doc_dup(const bson_t *doc, const char *path); /* a copy; "" when it is missing */
/* Copies a string that fits; "" when it is missing or longer. */
void doc_copy(const bson_t *doc, const char *path, char *out, size_t size);
bool doc_text_is(const bson_t *doc, const char *path, const char *text);
/* A number, `otherwise` when it is missing or none; milliseconds of a date, else 0; whether it is
 * true or a number but 0; the bytes of binary data, {"", 0} when there are none. */
int64_t doc_int(const bson_t *doc, const char *path, int64_t otherwise);
int64_t doc_date(const bson_t *doc, const char *path);
bool doc_bool(const bson_t *doc, const char *path);
struct text doc_bytes(const bson_t *doc, const char *path);
/* NULL: missing or of another type. */
const bson_oid_t *doc_oid(const bson_t *doc, const char *path);
/* An inner document, as a view; false: missing or of another type. */
bool doc_inner(const bson_t *doc, const char *path, bson_t *ret);
/* The elements of an array; false: missing or of another type. */
bool doc_list(const bson_t *doc, const char *path, bson_iter_t *ret);
/* A value as JSON, NULL: missing; the whole document without its _id. */
json_t *doc_json(const bson_t *doc, const char *path);
/* The same, but a date as milliseconds since the epoch. */
json_t *doc_time(const bson_t *doc, const char *path);
json_t *doc_object(const bson_t *doc);
/* The document at an iterator, as a view; false: not a document. */
bool doc_view(const bson_iter_t *it, bson_t *ret);

#endif
