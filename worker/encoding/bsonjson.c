#include "worker/encoding/bsonjson.h"

#include "common/clock.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Far more than a document can hold: keeps libbson's sizes, which are int, from overflow. */
#define BSONJSON_TEXT_MAX ((size_t)256 * 1024 * 1024)

/* libbson refuses a key that holds a NUL. */
static bool append(bson_t *to, const char *key, size_t key_len, const json_t *value, int depth);

static bool append_object(bson_t *to, const json_t *object, int depth)
{
    /* The iterator of jansson takes no const object, but does not write. */
    json_t *o = (json_t *)(uintptr_t)object;

    for (void *i = json_object_iter(o); i; i = json_object_iter_next(o, i))
        if (!append(to, json_object_iter_key(i), json_object_iter_key_len(i),
                    json_object_iter_value(i), depth))
            return false;
    return true;
}

static bool append_array(bson_t *to, const json_t *array, int depth)
{
    const char *key;
    char text[16];

    for (size_t i = 0; i < json_array_size(array); i++) {
        size_t len = bson_uint32_to_string((uint32_t)i, &key, text, sizeof text);
        if (!append(to, key, len, json_array_get(array, i), depth))
            return false;
    }
    return true;
}

static bool append_nested(bson_t *to, const char *key, int len, const json_t *value, int depth)
{
    bson_t child;
    bool ok;

    if (depth >= BSONJSON_DEPTH_MAX)
        return false;
    if (json_is_object(value)) {
        if (!bson_append_document_begin(to, key, len, &child))
            return false;
        ok = append_object(&child, value, depth + 1);
        return bson_append_document_end(to, &child) && ok;
    }
    if (!bson_append_array_begin(to, key, len, &child))
        return false;
    ok = append_array(&child, value, depth + 1);
    return bson_append_array_end(to, &child) && ok;
}

static bool append_integer(bson_t *to, const char *key, int len, json_int_t i)
{
    return i >= INT32_MIN && i <= INT32_MAX ? bson_append_int32(to, key, len, (int32_t)i)
                                            : bson_append_int64(to, key, len, i);
}

static bool append(bson_t *to, const char *key, size_t key_len, const json_t *value, int depth)
{
    int len = (int)key_len;

    if (key_len > BSONJSON_TEXT_MAX)
        return false;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return append_nested(to, key, len, value, depth);
    case JSON_STRING:
        return json_string_length(value) <= BSONJSON_TEXT_MAX &&
               bson_append_utf8(to, key, len, json_string_value(value),
                                (int)json_string_length(value));
    case JSON_INTEGER:
        return append_integer(to, key, len, json_integer_value(value));
    case JSON_REAL:
        return bson_append_double(to, key, len, json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return bson_append_bool(to, key, len, json_is_true(value));
    case JSON_NULL:
        break;
    }
    return bson_append_null(to, key, len);
}

bool bsonjson_append(bson_t *to, const char *key, size_t key_len, const json_t *value)
{
    return append(to, key, key_len, value, 0);
}

bool bsonjson_append_members(bson_t *to, const json_t *object)
{
    return append_object(to, object, 0);
}

/* Levels that a server's document can have at most. */
#define READ_DEPTH_MAX 200

/* Text from a foreign writer need not be UTF-8; then its bytes past ASCII are shown as '?'. */
static json_t *text(const char *s, size_t len)
{
    json_t *t = json_stringn(s, len);

    if (t)
        return t;
    char *copy = mem_strndup(s, len);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)copy[i] >= 0x80)
            copy[i] = '?';
    t = json_stringn(copy, len);
    free(copy);
    return t;
}

static json_t *real(double d)
{
    return isfinite(d) ? json_real(d) : json_null();
}

static json_t *date(int64_t ms)
{
    char out[CLOCK_TEXT_SIZE];

    clock_rfc3339(ms, out);
    return json_string(out);
}

static json_t *oid(const bson_oid_t *id)
{
    char out[25];

    bson_oid_to_string(id, out);
    return json_string(out);
}

#define UUID_BYTES 16

static json_t *binary(const bson_iter_t *it)
{
    const uint8_t *data;
    bson_subtype_t subtype;
    uint32_t len;

    bson_iter_binary(it, &subtype, &len, &data);
    bool uuid = subtype == BSON_SUBTYPE_UUID && len == UUID_BYTES;
    char *hex = mem_alloc((size_t)len * 2 + 8), *p = hex;
    for (uint32_t i = 0; i < len; i++) {
        if (uuid && (i == 4 || i == 6 || i == 8 || i == 10))
            *p++ = '-';
        p += snprintf(p, 3, "%02x", data[i]);
    }
    json_t *t = json_stringn(hex, (size_t)(p - hex));
    free(hex);
    return t;
}

static json_t *decimal(const bson_iter_t *it)
{
    bson_decimal128_t d;
    char out[BSON_DECIMAL128_STRING];

    if (!bson_iter_decimal128(it, &d))
        return json_null();
    bson_decimal128_to_string(&d, out);
    return json_string(out);
}

static json_t *value_at(const bson_iter_t *it, int depth);

static json_t *object(const bson_iter_t *it, int depth)
{
    json_t *o = json_object();
    bson_iter_t child;

    if (!bson_iter_recurse(it, &child))
        return o;
    while (bson_iter_next(&child)) {
        const char *key = bson_iter_key(&child);
        json_t *value = value_at(&child, depth + 1);
        if (bson_utf8_validate(key, bson_iter_key_len(&child), false)) {
            json_object_setn_new_nocheck(o, key, bson_iter_key_len(&child), value);
        } else {
            json_t *shown = text(key, bson_iter_key_len(&child));
            json_object_set_new_nocheck(o, json_string_value(shown), value);
            json_decref(shown);
        }
    }
    return o;
}

static json_t *array(const bson_iter_t *it, int depth)
{
    json_t *a = json_array();
    bson_iter_t child;

    if (bson_iter_recurse(it, &child))
        while (bson_iter_next(&child))
            json_array_append_new(a, value_at(&child, depth + 1));
    return a;
}

/* Types that our writers never make. */
static json_t *foreign(const bson_iter_t *it)
{
    const char *s;
    const bson_oid_t *id;
    uint32_t len, seconds, increment;

    switch ((int)bson_iter_type(it)) {
    case BSON_TYPE_BINARY:
        return binary(it);
    case BSON_TYPE_DECIMAL128:
        return decimal(it);
    case BSON_TYPE_TIMESTAMP:
        bson_iter_timestamp(it, &seconds, &increment);
        return date((int64_t)seconds * 1000);
    case BSON_TYPE_REGEX:
        s = bson_iter_regex(it, NULL);
        return text(s, strlen(s));
    case BSON_TYPE_CODE:
        s = bson_iter_code(it, &len);
        return text(s, len);
    case BSON_TYPE_SYMBOL:
        s = bson_iter_symbol(it, &len);
        return text(s, len);
    case BSON_TYPE_DBPOINTER:
        bson_iter_dbpointer(it, &len, &s, &id);
        return id ? oid(id) : json_null();
    default:
        return json_null();
    }
}

static json_t *value_at(const bson_iter_t *it, int depth)
{
    const char *s;
    uint32_t len;

    switch ((int)bson_iter_type(it)) {
    case BSON_TYPE_UTF8:
        s = bson_iter_utf8(it, &len);
        return text(s, len);
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
        return json_integer(bson_iter_as_int64(it));
    case BSON_TYPE_DOUBLE:
        return real(bson_iter_double(it));
    case BSON_TYPE_BOOL:
        return json_boolean(bson_iter_bool(it));
    case BSON_TYPE_DATE_TIME:
        return date(bson_iter_date_time(it));
    case BSON_TYPE_OID:
        return oid(bson_iter_oid(it));
    case BSON_TYPE_DOCUMENT:
        return depth < READ_DEPTH_MAX ? object(it, depth) : json_null();
    case BSON_TYPE_ARRAY:
        return depth < READ_DEPTH_MAX ? array(it, depth) : json_null();
    default:
        return foreign(it);
    }
}

json_t *bsonjson_value(const bson_iter_t *it)
{
    return value_at(it, 0);
}
