#include "worker/jsonbody.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* True for application/json and application/ *+json, parameters ignored. */
static bool is_json_type(struct text t)
{
    size_t len = 0;

    while (t.len && isspace((unsigned char)*t.s))
        t.s++, t.len--;
    while (len < t.len && t.s[len] != ';' && !isspace((unsigned char)t.s[len]))
        len++;
    if (len == strlen("application/json") && strncasecmp(t.s, "application/json", len) == 0)
        return true;
    return len > strlen("application/+json") && strncasecmp(t.s, "application/", 12) == 0 &&
           strncasecmp(t.s + len - 5, "+json", 5) == 0;
}

/* Depth of nesting of a JSON text, brackets in strings not counted; it stops at the limit. */
static size_t json_depth(struct text t, size_t limit)
{
    size_t depth = 0, deepest = 0;
    bool string = false;

    for (size_t i = 0; i < t.len && deepest <= limit; i++) {
        char c = t.s[i];
        if (string && c == '\\') {
            i++;
        } else if (c == '"') {
            string = !string;
        } else if (!string && (c == '{' || c == '[')) {
            if (++depth > deepest)
                deepest = depth;
        } else if (!string && (c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return deepest;
}

static void reply_schema_fault(struct call *c, const char *text)
{
    reply_invalid(c, json_pack("{s:[s]}", "_schema", text));
}

/* Answers a body that the parser refused. */
static void reply_parse_fault(struct call *c, const json_error_t *error)
{
    if (json_error_code(error) == json_error_numeric_overflow)
        reply_schema_fault(c, "Not a valid integer.");
    else if (json_error_code(error) == json_error_null_byte_in_key)
        reply_schema_fault(c, "A name must not hold a NUL character.");
    else /* everything else is not JSON */
        reply_error(c, 400, "Bad Request");
}

/* The body as JSON, or NULL: answered, unless *overflow tells of a number beyond 64 bits. */
static json_t *parse(struct call *c, bool *overflow)
{
    struct text body = c->request->body, type = c->request->headers[HDR_CONTENT_TYPE];
    json_error_t error;

    *overflow = false;
    if (!type.s || !is_json_type(type) || body.len == 0)
        return json_object();
    if (json_depth(body, JSON_DEPTH_LIMIT) > JSON_DEPTH_LIMIT) {
        reply_schema_fault(c, "Nested too deeply, 64 levels at most.");
        return NULL;
    }
    json_t *value = json_loadb(body.s, body.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!value) {
        *overflow = json_error_code(&error) == json_error_numeric_overflow;
        if (!*overflow)
            reply_parse_fault(c, &error);
    }
    return value;
}

/* A number beyond 64 bits: parsed once more with integers as reals, so that the schema can name the
 * field; where it finds no fault the number stands in free content. */
static void reply_overflow(struct call *c, const struct schema *s, unsigned flags)
{
    struct text body = c->request->body;
    json_t *errors = NULL;
    json_error_t error;
    json_t *value = json_loadb(body.s, body.len,
                               JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);

    if (!value) {
        reply_parse_fault(c, &error);
        return;
    }
    json_t *loaded = schema_load(s, value, flags, &errors);
    json_decref(value);
    if (!loaded)
        reply_invalid(c, errors);
    else
        reply_schema_fault(c, "Not a valid integer.");
    json_decref(loaded);
}

json_t *json_body_load(struct call *c, const struct schema *s, unsigned flags)
{
    bool overflow;
    json_t *errors = NULL, *body = parse(c, &overflow);

    if (!body) {
        if (overflow)
            reply_overflow(c, s, flags);
        return NULL;
    }
    json_t *loaded = schema_load(s, body, flags, &errors);
    json_decref(body);
    if (!loaded)
        reply_invalid(c, errors);
    return loaded;
}
