/* Prints docs/openapi.json: the OpenAPI document of all endpoints, made from common/api.def, the
 * schemas of bodies and details.def. */
#include "common/api.h"
#include "common/op.h"
#include "worker/openapi/answers.h"
#include "worker/openapi/schema.h"
#include "worker/validation/fieldtable.h"
#include "worker/validation/schemas.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum role role;
    const char *name;
} roles[] = {{ROLE_ADMIN, "admin"},
             {ROLE_MANAGER, "manager"},
             {ROLE_CONTRIBUTOR, "contributor"},
             {ROLE_AGENT, "agent"}};

static json_t *content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

enum names { CLOSED, OPEN };

static const struct field no_fields[] = {{0}};
static const struct schema FREE = {.fields = no_fields};

static const struct body {
    unsigned op;
    const struct schema *schema;
    enum names names;
} bodies[] = {
#define BODY(op, schema, names) {op, &schema, names},
#include "worker/openapi/details.def"
};

/* A row that takes JSON and has no BODY here fails the build. */
static json_t *json_body(const struct route *r)
{
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (bodies[i].op == route_op(r))
            return openapi_schema(bodies[i].schema, bodies[i].names == OPEN);
    fprintf(stderr, "%s has no BODY row in worker/openapi/details.def\n", route_name(r));
    exit(EXIT_FAILURE);
}

static json_t *request_body(const struct route *r)
{
    json_t *file, *text;

    if (route_body_limit(r) == 0)
        return NULL;
    if (route_flags(r) & ROUTE_UPLOAD) {
        file = json_pack("{s:s, s:[s], s:{s:{s:s, s:s}}}", "type", "object", "required", "file",
                         "properties", "file", "type", "string", "format", "binary");
        return json_pack("{s:b, s:o}", "required", 1, "content",
                         content("multipart/form-data", file));
    }
    if (route_flags(r) & ROUTE_TEXT) {
        text = json_pack("{s:s}", "type", "string");
        return json_pack("{s:o}", "content", content("text/plain", text));
    }
    return json_pack("{s:o}", "content", content("application/json", json_body(r)));
}

#define TEXT      json_pack("{s:s}", "type", "string")
#define TEXTS     json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string")
#define LIST      TEXT
#define NUMBER    json_pack("{s:s, s:i}", "type", "integer", "minimum", 0)
#define DATE      json_pack("{s:s, s:s}", "type", "string", "format", "date-time")
#define WORD(...) words((const char *const[]){__VA_ARGS__, NULL})

static const char *const phases[] = {
#define PHASE(name) name,
#include "worker/jobs/phases.def"
    NULL};
#undef PHASE
#define PHASE words(phases)

static json_t *words(const char *const *all)
{
    json_t *list = json_array();

    for (; *all; all++)
        json_array_append_new(list, json_string(*all));
    return json_pack("{s:s, s:o}", "type", "string", "enum", list);
}

static void add_query(json_t *parameters, const char *name, json_t *schema, const char *about)
{
    json_array_append_new(parameters, json_pack("{s:s, s:s, s:s, s:o}", "name", name, "in", "query",
                                                "description", about, "schema", schema));
}

static json_t *query_of(unsigned wanted)
{
    json_t *all = json_array();

#define QUERY(op, name, kind, about)                                                               \
    if (op == wanted)                                                                              \
        add_query(all, name, kind, about);
#define PAGED(op)                                                                                  \
    if (op == wanted) {                                                                            \
        add_query(all, "limit", json_pack("{s:s, s:i}", "type", "integer", "minimum", 1),          \
                  "The most members of the answer");                                               \
        add_query(all, "cursor", TEXT, "Where to go on, from the Link header");                    \
    }
#include "worker/openapi/details.def"
    return all;
}

/* Answers that any endpoint may give: status, and name in the document. */
static const struct {
    const char *status, *name, *description;
} answers[] = {{"4XX", "Refused", "The request was refused; the body says why"},
               {"413", "TooLarge", "The body is larger than the limit"},
               {"503", "Unavailable", "The store is away or the server is busy; see Retry-After"},
               {"504", "Timeout", "No answer within the deadline"}};

static json_t *responses(const struct route *r)
{
    json_t *all = openapi_answers(route_op(r));
    char ref[64];

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        bool takes_part = answers[i].status[0] == '5' ? route_service(r) != SERVICE_LOCAL
                                                      : i == 0 || route_body_limit(r) > 0;
        snprintf(ref, sizeof ref, "#/components/responses/%s", answers[i].name);
        if (takes_part && !json_object_get(all, answers[i].status))
            json_object_set_new(all, answers[i].status, json_pack("{s:s}", "$ref", ref));
    }
    return all;
}

/* Bearer tokens; in the open mode only guarded endpoints need one. */
static json_t *security(const struct route *r)
{
    if (route_service(r) == SERVICE_LOGIN && route_roles(r) == ROLES_ANYONE)
        return json_pack("[{s:[]}]", "client");
    if (route_roles(r) == ROLES_ANYONE)
        return json_array();
    if (route_flags(r) & ROUTE_GUARDED)
        return json_pack("[{s:[]}]", "token");
    return json_pack("[{}, {s:[]}]", "token");
}

static json_t *roles_of(const struct route *r)
{
    json_t *names = json_array();

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (route_roles(r) & roles[i].role)
            json_array_append_new(names, json_string(roles[i].name));
    return names;
}

static void lower(const char *from, char *to, size_t size)
{
    size_t i = 0;

    for (; from[i] && i < size - 1; i++)
        to[i] = (char)tolower((unsigned char)from[i]);
    to[i] = '\0';
}

static json_t *operation(const struct route *r)
{
    char id[64];
    json_t *o, *body = request_body(r), *query = query_of(route_op(r));

    lower(route_name(r) + strlen("OP_"), id, sizeof id);
    o = json_pack("{s:s, s:s, s:o, s:o}", "operationId", id, "summary", route_summary(r),
                  "security", security(r), "x-roles", roles_of(r));
    if (json_array_size(query))
        json_object_set(o, "parameters", query);
    json_decref(query);
    if (body)
        json_object_set_new(o, "requestBody", body);
    /* Body limit of a row; 0: a setting decides. */
    if (body)
        json_object_set_new(
            o, "x-body-limit",
            json_integer(route_flags(r) & ROUTE_UPLOAD ? 0 : (json_int_t)route_body_limit(r)));
    json_object_set_new(o, "responses", responses(r));
    return o;
}

static json_t *path_parameter(const char *name, size_t len)
{
    bool id = len == strlen("job_id") && memcmp(name, "job_id", len) == 0;
    json_t *schema = json_pack("{s:s, s:s*}", "type", "string", "format", id ? "uuid" : NULL);

    return json_pack("{s:s%, s:s, s:b, s:o}", "name", name, len, "in", "path", "required", 1,
                     "schema", schema);
}

/* Turns "/v1/job/<job_id>" into "/v1/job/{job_id}" and lists its parameters. */
static void path_template(const char *path, char *out, size_t size, json_t *parameters)
{
    const char *name = NULL;
    size_t n = 0;

    for (const char *p = path; *p && n < size - 1; p++) {
        out[n++] = *p == '<' ? '{' : *p == '>' ? '}' : *p;
        if (*p == '<')
            name = p + 1;
        if (*p == '>' && name)
            json_array_append_new(parameters, path_parameter(name, (size_t)(p - name)));
    }
    out[n] = '\0';
}

static json_t *paths(void)
{
    json_t *all = json_object(), *item;
    char template[256], method[16];

    for (unsigned i = 0; i < OP_COUNT_; i++) {
        const struct route *r = route_of(i);
        if (route_is_web(r))
            continue;
        json_t *parameters = json_array();
        path_template(route_path(r), template, sizeof template, parameters);
        lower(http_method_name(route_method(r)), method, sizeof method);
        item = json_object_get(all, template);
        if (*route_path(r) && !item) {
            item = json_object();
            if (json_array_size(parameters))
                json_object_set(item, "parameters", parameters);
            json_object_set_new(all, template, item);
        }
        json_decref(parameters);
        if (*route_path(r))
            json_object_set_new(item, method, operation(r));
    }
    return all;
}

static json_t *error_responses(void)
{
    json_t *all = json_object();

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        json_t *body =
            content("application/json", json_pack("{s:s}", "$ref", "#/components/schemas/Error"));
        json_object_update_missing_new(body,
                                       content("text/plain", json_pack("{s:s}", "type", "string")));
        json_object_set_new(
            all, answers[i].name,
            json_pack("{s:s, s:o}", "description", answers[i].description, "content", body));
    }
    return all;
}

static json_t *components(void)
{
    return json_pack("{s:{s:{s:s, s:s, s:s}, s:{s:s, s:s}}, s:o, s:o}", "securitySchemes", "token",
                     "type", "http", "scheme", "bearer", "bearerFormat", "JWT", "client", "type",
                     "http", "scheme", "basic", "schemas", openapi_shapes(), "responses",
                     error_responses());
}

int main(void)
{
    json_t *document = json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:o, s:o}", "openapi", "3.0.3", "info", "title",
        "Testflinger Server", "version", PROJECT_VERSION, "description",
        "Made from common/api.def by openapi-document: ninja -C build openapi-docs. docs/api.md "
        "explains all endpoints. HEAD is served wherever GET is. "
        "x-roles: who may call it unless the server runs in the open mode (an empty list: "
        "anyone). x-body-limit: bodies of this many bytes or more are refused (0: a setting "
        "decides).",
        "paths", paths(), "components", components());

    if (!document || json_dumpf(document, stdout, JSON_INDENT(2)) != 0 || puts("") == EOF) {
        fputs("the document could not be made\n", stderr);
        return EXIT_FAILURE;
    }
    json_decref(document);
    return EXIT_SUCCESS;
}
