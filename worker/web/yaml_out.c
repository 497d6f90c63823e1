#include "worker/web/yaml_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

/* Plain texts that either version takes for something else. */
static const char *const words[] = {"~",  "null", "true", "false", "yes", "no",
                                    "on", "off",  "y",    "n",     "=",   "<<"};

/* Whether a plain text might be taken for a null, a boolean, a number or a date. */
static bool needs_quotes(const char *s, size_t len)
{
    size_t sign = len && (*s == '-' || *s == '+');

    if (len == 0 || (s[0] >= '0' && s[0] <= '9'))
        return true;
    if (sign < len && (s[sign] == '.' || (s[sign] >= '0' && s[sign] <= '9')))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && strncasecmp(words[i], s, len) == 0)
            return true;
    return false;
}

/* A text; false: libyaml failed, as for all below. */
static bool put_text(yaml_emitter_t *e, const char *s, size_t len)
{
    bool quotes = needs_quotes(s, len);
    yaml_event_t event;
    yaml_scalar_style_t style = memchr(s, '\n', len) ? YAML_LITERAL_SCALAR_STYLE
                                : quotes             ? YAML_SINGLE_QUOTED_SCALAR_STYLE
                                                     : YAML_ANY_SCALAR_STYLE;

    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)s, (int)len,
                                        !quotes, 1, style) &&
           yaml_emitter_emit(e, &event);
}

/* A word or number as it is. */
static bool put_plain(yaml_emitter_t *e, const char *s)
{
    yaml_event_t event;

    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)s, (int)strlen(s),
                                        1, 0, YAML_PLAIN_SCALAR_STYLE) &&
           yaml_emitter_emit(e, &event);
}

void yaml_real(double value, char out[YAML_REAL_SIZE])
{
    char digits[40];
    int precision = 15;
    double back;

    do {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        back = strtod(digits, NULL);
    } while ((back < value || back > value) && ++precision < 18);
    size_t whole = strspn(digits, "-0123456789");
    snprintf(out, YAML_REAL_SIZE, "%.*s%s%s", (int)whole, digits, digits[whole] == '.' ? "" : ".0",
             digits + whole);
}

static bool put_real(yaml_emitter_t *e, double value)
{
    char text[YAML_REAL_SIZE];

    yaml_real(value, text);
    return put_plain(e, text);
}

static bool put(yaml_emitter_t *e, const json_t *value);

static bool put_object(yaml_emitter_t *e, const json_t *object)
{
    yaml_event_t event;
    const char *name;
    size_t len;
    json_t *member;

    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_MAPPING_STYLE) ||
        !yaml_emitter_emit(e, &event))
        return false;
    json_object_keylen_foreach((json_t *)(uintptr_t)object, name, len, member)
    {
        if (!put_text(e, name, len) || !put(e, member))
            return false;
    }
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool put_array(yaml_emitter_t *e, const json_t *array)
{
    yaml_event_t event;
    json_t *member;
    size_t i;

    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_SEQUENCE_STYLE) ||
        !yaml_emitter_emit(e, &event))
        return false;
    json_array_foreach (array, i, member)
        if (!put(e, member))
            return false;
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool put(yaml_emitter_t *e, const json_t *value)
{
    char text[32];

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return put_object(e, value);
    case JSON_ARRAY:
        return put_array(e, value);
    case JSON_STRING:
        return put_text(e, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return put_plain(e, text);
    case JSON_REAL:
        return put_real(e, json_real_value(value));
    case JSON_TRUE:
        return put_plain(e, "true");
    case JSON_FALSE:
        return put_plain(e, "false");
    case JSON_NULL:
        return put_plain(e, "null");
    }
    return false;
}

static int add(void *out, unsigned char *data, size_t len)
{
    return buf_add(out, data, len) == ERR_OK;
}

static bool write_document(yaml_emitter_t *e, const json_t *value)
{
    yaml_event_t event;

    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(e, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(e, &event) && put(e, value) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(e, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

enum err yaml_write(const json_t *value, struct buf *out)
{
    yaml_emitter_t e;

    if (!yaml_emitter_initialize(&e))
        return ERR_INTERNAL;
    yaml_emitter_set_output(&e, add, out);
    yaml_emitter_set_unicode(&e, 1);
    yaml_emitter_set_width(&e, -1);
    bool fine = write_document(&e, value);
    enum err err = fine ? ERR_OK : e.error == YAML_WRITER_ERROR ? ERR_TOO_LARGE : ERR_INTERNAL;
    yaml_emitter_delete(&e);
    return err;
}
