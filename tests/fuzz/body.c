/* Fuzz target: JSON bodies against the schemas of the API. The first byte of the input chooses the
 * schema, the second one the settings; the rest is the body.
 *
 * A body is either refused with a reason or accepted. An accepted body survives being written and
 * read again, holds only what the schema allows, and is accepted again unchanged. */
#include "tests/fuzz/require.h"
#include "worker/http/jsonbody.h"
#include "worker/validation/bson_size.h"
#include "worker/validation/schemas.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEEPS_UNKNOWN = 1, HAS_DATES = 2 };

static const struct {
    const struct schema *schema; /* NULL: an object of any content */
    unsigned is;
} bodies[] = {
    {&schema_job, KEEPS_UNKNOWN},
    {&schema_action, 0},
    {&schema_events, 0},
    {&schema_result, KEEPS_UNKNOWN},
    {&schema_log_fragment, HAS_DATES},
    {&schema_agent, HAS_DATES},
    {&schema_provision_log, 0},
    {&schema_refresh, 0},
    {&schema_restricted, 0},
    {&schema_client, 0},
    {NULL, KEEPS_UNKNOWN},
    {&schema_pause, HAS_DATES},
    {&schema_secret, 0},
};
enum { BODIES = sizeof bodies / sizeof *bodies };

/* A refusal has a reason: a text, or {"detail": {"json": {FIELD: FAULTS, ...}}, "message"}. */
static void check_refusal(const struct call *c)
{
    const struct reply *r = &c->reply;
    json_t *body = json_loadb(r->body.s, r->body.len, JSON_ALLOW_NUL, NULL);

    require(r->status == 400 || r->status == 422);
    require(json_string_length(json_object_get(body, "message")) > 0);
    if (r->status == 422) {
        const json_t *faults = json_object_get(json_object_get(body, "detail"), "json");
        require(json_object_size(faults) > 0);
    }
    json_decref(body);
}

/* The body must be the same after writing and reading it as JSON, and have a size in BSON. */
static void check_packs(const json_t *value)
{
    size_t len = json_dumpb(value, NULL, 0, JSON_COMPACT);
    char *text = malloc(len + 1);

    require(len > 0 && text && json_dumpb(value, text, len, JSON_COMPACT) == len);
    json_t *again = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
    require(again && json_equal((json_t *)value, again));
    require(doc_bson_size(value) >= 5);
    json_decref(again);
    free(text);
}

/* Coerced values need no further coercion, except dates: text becomes a number. */
static void check_stays(unsigned body, json_t *value, unsigned flags)
{
    json_t *errors = NULL, *again = NULL;

    if (bodies[body].is & HAS_DATES)
        return;
    again = schema_load(bodies[body].schema, value, flags, &errors);
    require(again && !errors && json_equal(value, again));
    json_decref(again);
}

/* Checks what handlers rely on. */
static void check_fields(unsigned body, json_t *value)
{
    static const char *const made[] = {"attachments_status", "client_id", "started_at",
                                       "created_at"};
    const struct schema *s = bodies[body].schema;

    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        require((s != &schema_job && s != &schema_result) || !json_object_get(value, made[i]));
    if (s == &schema_job) {
        const json_t *priority = json_object_get(value, "job_priority");
        require(json_string_length(json_object_get(value, "job_queue")) > 0 &&
                json_is_array(json_object_get(value, "exclude_agents")));
        require(!priority || json_is_integer(priority));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config configs[] = {{.compat = COMPAT_DOCUMENTED},
                                            {.compat = COMPAT_REFERENCE}};
    static struct request r;
    json_t *value;

    if (size < 2)
        return 0;
    unsigned body = data[0] % BODIES;
    const struct config *cfg = &configs[data[1] & 1];
    unsigned flags = bodies[body].is & KEEPS_UNKNOWN && cfg->compat == COMPAT_DOCUMENTED
                         ? SCHEMA_KEEP_UNKNOWN
                         : 0;
    /* A copy of exact size, so that AddressSanitizer finds reads beyond its end. */
    char *bytes = malloc(size - 2);
    memcpy(bytes, data + 2, size - 2);
    r.body = (struct text){bytes, size - 2};
    r.headers[HDR_CONTENT_TYPE] = (struct text){"application/json", strlen("application/json")};
    struct call c = {.request = &r, .cfg = cfg};

    value =
        bodies[body].schema ? json_body_load(&c, bodies[body].schema, flags) : json_body_object(&c);
    require(!value == (c.reply.status != 0));
    if (value) {
        require(json_is_object(value));
        check_packs(value);
        check_fields(body, value);
        if (bodies[body].schema)
            check_stays(body, value, flags);
    } else {
        check_refusal(&c);
    }
    json_decref(value);
    call_done(&c);
    free(bytes);
    return 0;
}
