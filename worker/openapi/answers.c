#include "worker/openapi/answers.h"

#include "common/api.h"
#include "common/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shapes ---- */

static const char *const phases[] = {
#define PHASE(name) name,
#include "worker/jobs/phases.def"
    NULL};
#undef PHASE

/* What is left of a shape. */
struct shape {
    const char *at, *all;
};

static json_t *shape_read(struct shape *s);

static void fail(const struct shape *s, const char *wanted)
{
    fprintf(stderr, "%s: %s wanted at \"%s\" of a shape in worker/openapi/answers.def\n", s->all,
            wanted, s->at);
    exit(EXIT_FAILURE);
}

/* Whether the next thing is this one; it is then taken. */
static bool next_is(struct shape *s, const char *text)
{
    s->at += strspn(s->at, " ");
    size_t len = strlen(text);
    bool is = strncmp(s->at, text, len) == 0;

    s->at += is ? len : 0;
    return is;
}

static void take(struct shape *s, const char *text)
{
    if (!next_is(s, text))
        fail(s, text);
}

/* A word of letters, _ and $; the text is valid until the next one. */
static const char *word(struct shape *s)
{
    static char text[64];
    size_t len;

    s->at += strspn(s->at, " ");
    len = strspn(s->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$");
    if (len == 0 || len >= sizeof text)
        fail(s, "a name");
    snprintf(text, sizeof text, "%.*s", (int)len, s->at);
    s->at += len;
    return text;
}

static json_t *simple(struct shape *s)
{
    static const struct {
        const char *word, *type, *format;
    } simples[] = {{"text", "string", NULL},        {"int", "integer", NULL},
                   {"number", "number", NULL},      {"bool", "boolean", NULL},
                   {"date", "string", "date-time"}, {"object", "object", NULL}};
    const char *name = word(s);

    if (strcmp(name, "any") == 0)
        return json_object();
    for (size_t i = 0; i < sizeof simples / sizeof *simples; i++)
        if (strcmp(name, simples[i].word) == 0)
            return json_pack("{s:s, s:s*}", "type", simples[i].type, "format", simples[i].format);
    fail(s, "a known word");
    return NULL;
}

static void add_member(json_t *object, const char *name, bool needed, json_t *schema)
{
    json_object_set(json_object_get(object, "properties"), name, schema);
    if (!needed)
        return;
    if (!json_object_get(object, "required"))
        json_object_set_new(object, "required", json_array());
    json_array_append_new(json_object_get(object, "required"), json_string(name));
}

/* A member, or one for each phase. */
static void read_member(struct shape *s, json_t *object)
{
    static const char mark[] = "PHASE";
    char name[128], text[64];

    snprintf(text, sizeof text, "%s", word(s));
    bool needed = !next_is(s, "?");
    take(s, ":");
    json_t *schema = shape_read(s);
    if (strncmp(text, mark, strlen(mark)) != 0)
        add_member(object, text, needed, schema);
    else
        for (const char *const *phase = phases; *phase; phase++) {
            snprintf(name, sizeof name, "%s%s", *phase, text + strlen(mark));
            add_member(object, name, needed, schema);
        }
    json_decref(schema);
}

/* The members of an object, up to its brace. */
static json_t *read_object(struct shape *s)
{
    json_t *object =
        json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);

    while (!next_is(s, "}")) {
        if (next_is(s, "..."))
            json_object_set_new(object, "additionalProperties", json_true());
        else if (next_is(s, "*:"))
            json_object_set_new(object, "additionalProperties", shape_read(s));
        else
            read_member(s, object);
        next_is(s, ",");
    }
    return object;
}

static json_t *read_one(struct shape *s)
{
    if (next_is(s, "@"))
        return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", word(s)));
    if (next_is(s, "{"))
        return read_object(s);
    if (!next_is(s, "["))
        return simple(s);
    json_t *array = json_pack("{s:s, s:o}", "type", "array", "items", shape_read(s));
    take(s, "]");
    return array;
}

static json_t *shape_read(struct shape *s)
{
    json_t *one = read_one(s), *any = NULL;

    while (next_is(s, "|")) {
        if (next_is(s, "null")) {
            json_object_set_new(one, "nullable", json_true());
            continue;
        }
        if (!any)
            any = json_pack("[o]", one);
        json_array_append_new(any, read_one(s));
    }
    return any ? json_pack("{s:o}", "anyOf", any) : one;
}

static json_t *schema_of(const char *text)
{
    struct shape s = {text, text};
    json_t *schema = shape_read(&s);

    if (*s.at)
        fail(&s, "the end");
    return schema;
}

json_t *openapi_shapes(void)
{
    json_t *all = json_object();

#define SHAPE(name, shape) json_object_set_new(all, name, schema_of(shape));
#include "worker/openapi/answers.def"
    return all;
}

/* ---- answers ---- */

static const struct answer {
    unsigned op;
    const char *status, *type; /* "": no body */
    const char *shape;
} answers[] = {
#define JSON(op, status, shape) {op, status, "application/json", shape},
#define TEXT(op, status)        {op, status, "text/plain", "text"},
#define EVENTS(op, status)      {op, status, "text/event-stream", "text"},
#define FILE(op, status)        {op, status, "application/gzip", ""},
#define NOTHING(op, status)     {op, status, "", ""},
#include "worker/openapi/answers.def"
};

static const char *description_of(const char *status)
{
    static const struct {
        const char *status, *text;
    } texts[] = {{"204", "There is nothing"},
                 {"206", "The wanted range"},
                 {"304", "The client has it already: If-None-Match names its ETag"},
                 {"404", "There is none"},
                 {"416", "The file is shorter than the wanted range"},
                 {"4XX", "The request was refused"}};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(status, texts[i].status) == 0)
            return texts[i].text;
    return "It was done";
}

static void add_answer(json_t *all, const struct answer *a)
{
    json_t *response = json_object_get(all, a->status), *content;

    if (!response) {
        response = json_pack("{s:s}", "description", description_of(a->status));
        json_object_set_new(all, a->status, response);
    }
    if (!*a->type)
        return;
    content = json_object_get(response, "content");
    if (!content) {
        content = json_object();
        json_object_set_new(response, "content", content);
    }
    json_t *schema = *a->shape ? schema_of(a->shape)
                               : json_pack("{s:s, s:s}", "type", "string", "format", "binary");
    json_object_set_new(content, a->type, json_pack("{s:o}", "schema", schema));
}

json_t *openapi_answers(unsigned op)
{
    json_t *all = json_object();

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (answers[i].op == op)
            add_answer(all, &answers[i]);
    if (json_object_size(all) == 0) {
        fprintf(stderr, "%s has no row in worker/openapi/answers.def\n", route_name(route_of(op)));
        exit(EXIT_FAILURE);
    }
    return all;
}
