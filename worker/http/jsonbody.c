#include "worker/http/jsonbody.h"

#include "common/buf.h"
#include "common/mem.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
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

/* Replaces shell line continuations (backslash, newline) outside strings by blanks: an example of
 * the API document has one. Returns a copy of the same length; NULL: there was none. */
static char *without_continuations(struct text t)
{
    char *copy = NULL;
    bool string = false;

    for (size_t i = 0; i + 1 < t.len; i++) {
        if (t.s[i] == '"') {
            string = !string;
        } else if (t.s[i] == '\\' && string) {
            i++;
        } else if (t.s[i] == '\\' && (t.s[i + 1] == '\n' || t.s[i + 1] == '\r')) {
            if (!copy)
                copy = memcpy(mem_alloc(t.len), t.s, t.len);
            copy[i] = ' ';
        }
    }
    return copy;
}

static json_t *parse_text(const struct call *c, json_error_t *error)
{
    const size_t flags = JSON_ALLOW_NUL | JSON_DECODE_ANY;
    struct text body = c->request->body;
    json_t *value = json_loadb(body.s, body.len, flags, error);
    char *plain = NULL;

    if (!value && c->cfg->compat == COMPAT_DOCUMENTED)
        plain = without_continuations(body);
    if (plain)
        value = json_loadb(plain, body.len, flags, error);
    free(plain);
    return value;
}

/* The body as JSON. NULL: answered, except with *overflow (a number beyond 64 bits). */
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
    json_t *value = parse_text(c, &error);
    if (!value) {
        *overflow = json_error_code(&error) == json_error_numeric_overflow;
        if (!*overflow)
            reply_parse_fault(c, &error);
    }
    return value;
}

/* Appends a number, or a stand-in when json_t cannot hold it: "-" (a string) for an integer beyond
 * 64 bits, DBL_MAX for an infinite real. */
static enum err add_number(struct buf *out, const char *number, size_t len)
{
    char copy[32];

    if (memchr(number, '.', len) || memchr(number, 'e', len) || memchr(number, 'E', len)) {
        char *text = mem_strndup(number, len);
        double value = strtod(text, NULL);
        free(text);
        if (isinf(value))
            return buf_printf(out, "%s%.17g", value < 0 ? "-" : "", DBL_MAX);
    } else {
        errno = ERANGE;
        if (len < sizeof copy) {
            memcpy(copy, number, len);
            copy[len] = '\0';
            errno = 0;
            strtoll(copy, NULL, 10);
        }
        if (errno)
            return buf_add(out, "\"-\"", 3);
    }
    return buf_add(out, number, len);
}

/* Copies a JSON text with its numbers replaced as above. */
static enum err replace_numbers(struct text t, struct buf *out)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < t.len;) {
        size_t n = 1;
        if (t.s[i] == '"') {
            while (i + n < t.len && t.s[i + n] != '"')
                n += t.s[i + n] == '\\' ? 2 : 1;
            n = i + n < t.len ? n + 1 : t.len - i;
            e = buf_add(out, t.s + i, n);
        } else if (t.s[i] == '-' || isdigit((unsigned char)t.s[i])) {
            while (i + n < t.len && (isalnum((unsigned char)t.s[i + n]) ||
                                     (t.s[i + n] && strchr("+-.", t.s[i + n]))))
                n++;
            e = add_number(out, t.s + i, n);
        } else {
            e = buf_add(out, t.s + i, 1);
        }
        i += n;
    }
    return e;
}

/* Answers a body with a number that json_t cannot hold: parses it again with stand-ins, so that the
 * schema names the field. If the schema accepts it, the number is in free content. */
static void reply_overflow(struct call *c, const struct schema *s, unsigned flags)
{
    struct buf text = BUF_INIT(2 * BODY_DOCUMENT);
    json_t *errors = NULL, *value = NULL, *loaded = NULL;
    json_error_t error;
    enum err e = replace_numbers(c->request->body, &text);

    if (!e && !(value = json_loadb(text.data, text.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error)))
        reply_parse_fault(c, &error);
    else if (!e && !(loaded = schema_load(s, value, flags, &errors)))
        reply_invalid(c, errors);
    else
        reply_schema_fault(c, "Not a valid integer.");
    json_decref(value);
    json_decref(loaded);
    buf_free(&text);
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

json_t *json_body_object(struct call *c)
{
    bool overflow;
    json_t *body = parse(c, &overflow);

    if (body && json_is_object(body))
        return body;
    if (overflow)
        reply_schema_fault(c, "Not a valid integer.");
    else if (body)
        reply_schema_fault(c, "Invalid input type.");
    json_decref(body);
    return NULL;
}
