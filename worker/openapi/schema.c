#include "worker/openapi/schema.h"

#include "worker/validation/fieldtable.h"

static json_t *kind_schema(const struct kind *k);

static json_t *typed(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static void limit(json_t *schema, const char *name, size_t n)
{
    if (n)
        json_object_set_new(schema, name, json_integer((json_int_t)n));
}

static json_t *texts_of(const char *const *choices)
{
    json_t *all = json_array();

    for (; *choices; choices++)
        json_array_append_new(all, json_string(*choices));
    return all;
}

/* Limits of texts are bytes, those of a JSON schema characters: a text that fits has at most as
 * many. */
static json_t *string_schema(const struct kind *k)
{
    json_t *s = typed("string");

    limit(s, "minLength", k->min_len);
    limit(s, "maxLength", k->max_len);
    if (k->choices && !k->any_case)
        json_object_set_new(s, "enum", texts_of(k->choices));
    return s;
}

static json_t *list_schema(const struct kind *k)
{
    json_t *s = json_pack("{s:s, s:o}", "type", "array", "items", kind_schema(k->item));

    limit(s, "minItems", k->min_len);
    limit(s, "maxItems", k->max_len);
    return s;
}

static json_t *dict_schema(const struct kind *k)
{
    json_t *s = typed("object");

    limit(s, "maxProperties", k->max_len);
    if (k->item)
        json_object_set_new(s, "additionalProperties", kind_schema(k->item));
    return s;
}

static json_t *variant_schema(const struct kind *k)
{
    json_t *all = json_array();

    for (const struct schema *s = k->variants; s->fields; s++)
        json_array_append_new(all, openapi_schema(s, false));
    return json_pack("{s:o}", "anyOf", all);
}

static json_t *kind_schema(const struct kind *k)
{
    switch (k->type) {
    case KIND_STRING:
        return string_schema(k);
    case KIND_URL:
        return json_pack("{s:s, s:s}", "type", "string", "format", "uri");
    case KIND_EMAIL:
        return json_pack("{s:s, s:s}", "type", "string", "format", "email");
    case KIND_DATETIME:
        return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
    case KIND_INTEGER:
        return json_pack("{s:[{s:s}, {s:s}]}", "anyOf", "type", "number", "type", "string");
    case KIND_BOOLEAN:
        return json_pack("{s:[{s:s}, {s:s}, {s:s}]}", "anyOf", "type", "boolean", "type", "string",
                         "type", "integer");
    case KIND_DURATION:
        return json_pack("{s:[{s:s}, {s:s}]}", "anyOf", "type", "string", "type", "integer");
    case KIND_LIST:
        return list_schema(k);
    case KIND_DICT:
        return dict_schema(k);
    case KIND_OBJECT:
        return openapi_schema(k->object, false);
    case KIND_VARIANT:
        return variant_schema(k);
    }
    return json_object();
}

static json_t *field_schema(const struct field *f)
{
    json_t *s = kind_schema(f->kind);

    if (f->flags & (FIELD_NULLABLE | FIELD_DROP_NULL))
        json_object_set_new(s, "nullable", json_true());
    return s;
}

json_t *openapi_schema(const struct schema *s, bool open)
{
    json_t *properties = json_object(), *required = json_array();

    for (const struct field *f = s->fields; f->name; f++) {
        json_object_set_new(properties, f->name, field_schema(f));
        if (f->flags & FIELD_REQUIRED)
            json_array_append_new(required, json_string(f->name));
    }
    json_t *all = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
                            "additionalProperties", open);
    if (json_array_size(required))
        json_object_set(all, "required", required);
    json_decref(required);
    return all;
}
