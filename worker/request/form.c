#include "worker/request/form.h"

#include "common/mem.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FORM_TYPE  "application/x-www-form-urlencoded"
#define NAME_SHOWN 64 /* bytes of a field's name in an answer */

struct form {
    struct form_field {
        struct text name, value;
    } fields[FORM_FIELDS_MAX];
    size_t len;
    char memory[]; /* the decoded texts */
};

/* Whether a Content-Type names the type; parameters are ignored. */
static bool is_form(struct text type)
{
    size_t n = strlen(FORM_TYPE);
    const char *end = type.s ? memchr(type.s, ';', type.len) : NULL;
    struct text t =
        text_trim((struct text){type.s, end ? (size_t)(end - type.s) : type.len}, " \t");

    return t.len == n && strncasecmp(t.s, FORM_TYPE, n) == 0;
}

/* Decodes into `out`, which has room for `len` bytes. False: a broken percent code, a NUL, or not
 * valid UTF-8. */
static bool decode(const char *s, size_t len, char *out, struct text *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = s[i] == '+' ? ' ' : s[i];
        if (c == '%') {
            if (len - i < 3 || hex_value(s[i + 1]) < 0 || hex_value(s[i + 2]) < 0)
                return false;
            c = (char)(hex_value(s[i + 1]) * 16 + hex_value(s[i + 2]));
            i += 2;
        }
        if (!c)
            return false;
        if (c == '\n' && n && out[n - 1] == '\r')
            n--;
        out[n++] = c;
    }
    *ret = (struct text){out, n};
    for (size_t i = 0, step; i < n; i += step)
        if (!(step = utf8_sequence(out + i, n - i)))
            return false;
    return true;
}

static const struct form_field *find(const struct form *f, struct text name)
{
    for (size_t i = 0; f && i < f->len; i++)
        if (text_equal(f->fields[i].name, name))
            return &f->fields[i];
    return NULL;
}

/* Takes the field "name=value". False: answered. */
static bool take(struct call *c, struct text part, char **at)
{
    struct form *f = c->form;
    const char *equals = memchr(part.s, '=', part.len);
    size_t len = equals ? (size_t)(equals - part.s) : part.len;
    struct form_field field = {.value = {"", 0}};

    if (f->len == FORM_FIELDS_MAX) {
        reply_error(c, 400, "The form has more than %d fields", FORM_FIELDS_MAX);
        return false;
    }
    bool fine = decode(part.s, len, *at, &field.name);
    *at += fine ? field.name.len : 0;
    if (fine && equals)
        fine = decode(equals + 1, part.len - len - 1, *at, &field.value);
    *at += fine ? field.value.len : 0;
    int shown = (int)(field.name.len <= NAME_SHOWN ? field.name.len : 0);
    if (!fine)
        reply_error(c, 400, "The form is broken: a field '%.*s' is not URL-encoded UTF-8 text",
                    shown, shown ? field.name.s : "");
    else if (find(f, field.name))
        reply_error(c, 400, "The form has the field '%.*s' twice", shown, field.name.s);
    else
        f->fields[f->len++] = field;
    return !c->reply.status;
}

bool form_load(struct call *c)
{
    struct text body = c->request->body;
    struct text type = c->request->headers[HDR_CONTENT_TYPE];

    if (!body.len)
        return true;
    if (!is_form(type)) {
        reply_error(c, 415, "The body must be of the type " FORM_TYPE);
        return false;
    }
    c->form = mem_alloc(sizeof *c->form + body.len);
    c->form->len = 0;
    char *at = c->form->memory;
    for (const char *s = body.s, *end = body.s + body.len; s < end;) {
        const char *amp = memchr(s, '&', (size_t)(end - s)), *stop = amp ? amp : end;
        if (stop > s && !take(c, (struct text){s, (size_t)(stop - s)}, &at))
            return false;
        s = stop + 1;
    }
    return true;
}

struct text form_text(const struct call *c, const char *name)
{
    const struct form_field *field = find(c->form, (struct text){name, strlen(name)});

    return field ? field->value : (struct text){NULL, 0};
}

bool form_has(const struct call *c, const char *name)
{
    return form_text(c, name).len > 0;
}
